//! PID 1 of every job container: starts steps, reaps, spools framed output; its protocol and spool format.
