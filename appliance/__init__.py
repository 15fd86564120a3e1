"""What runs beside the line: capture, pipeline, decision, messages, PLC bridge."""
