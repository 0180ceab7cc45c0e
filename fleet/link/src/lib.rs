//! What agent and controller say to each other: frames, versions, signatures, TLS with pinned keys.
