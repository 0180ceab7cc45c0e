//! The API as a table: method, path, permission and meaning of every endpoint.
