//! The composition root: builds everything once, runs it, and shuts it down in order.
