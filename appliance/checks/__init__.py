"""What a person has examined: a line's parts, known pictures shown to it, archived frames run again."""
