//! The controller's memory and reach: jobs out, results home, both remembered.
