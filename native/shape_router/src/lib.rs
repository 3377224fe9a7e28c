//! Which shapes does a change belong to? The four layers, membership and metrics.
