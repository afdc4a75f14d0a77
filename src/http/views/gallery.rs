//! Every page in every state with sample words, for review and for the browser's tests.
