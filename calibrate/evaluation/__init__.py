"""Evaluation on labelled pictures: public sets' layouts, measures, and the worst mistakes."""
