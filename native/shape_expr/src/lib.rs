//! PostgreSQL values and WHERE clauses: text -> typed tree -> bytecode -> true, false or null.
