//! A private PostgreSQL server for tests: started in a temporary directory, gone when dropped.
