//! The API document, printed from the route table.
