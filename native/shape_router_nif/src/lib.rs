//! The NIF: decodes Erlang terms, calls one function, encodes the answer.
