//! Background work, each a loop of claim, act, finish.
