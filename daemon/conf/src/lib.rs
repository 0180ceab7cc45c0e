//! Text to meaning and back: the configuration languages of time daemons. No I/O.
