"""Live: sound in, picture out, now; `perform.perform` plays, and everything before it can be used alone."""
