"""Tiltyard: models joust for production; a challenger replaces the champion only when it wins."""
