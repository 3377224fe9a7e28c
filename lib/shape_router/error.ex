defmodule ShapeRouter.Error do
  @moduledoc """
  What went wrong: a stable `code` to match on, a `message` that names what and where.

  `position` is the byte position in the clause or query, or the operation's place in a batch, from 0,
  where there is one; `sqlstate` is what PostgreSQL would have raised, where it would.

  | code | meaning |
  |---|---|
  | `:syntax_error` | the clause is not PostgreSQL's grammar |
  | `:unknown_column`, `:unknown_function`, `:unknown_operator`, `:unknown_type`, `:unknown_parameter` | a name that nothing stands for |
  | `:ambiguous`, `:undetermined_type`, `:datatype_mismatch` | the types do not fit, or cannot be told |
  | `:invalid_literal` | a constant that is not one of its type |
  | `:not_supported`, `:volatile_function`, `:aggregate`, `:window_function` | PostgreSQL knows it, a shape cannot have it |
  | `:too_long`, `:too_deep` | over 64 KiB, or nested over 256 deep |
  | `:invalid_schema` | the table's columns contradict each other |
  | `:duplicate_shape`, `:unknown_shape` | the id is taken, or nobody has it |
  | `:invalid_key` | a key is not one of this table |
  | `:invalid_change` | a change lacks what its kind needs |
  | `:unknown_set`, `:invalid_value` | no shape uses the subquery; a value is none of what it selects |
  | `:limit_reached` | `max_shapes` or `max_bytes` |
  | `:stale_transaction`, `:transaction_in_progress` | transactions were routed or acknowledged out of turn |
  | `:malformed_message` | bytes that are no pgoutput message; `position` is the byte in the message |
  | `:out_of_place`, `:unknown_relation` | a message that cannot come here; a row of a table that no Relation message has defined |
  | `:unknown_value` | the answer depends on a column that the record does not have |
  | `:unreadable_value` | a value is not one of its column's type |
  | `:evaluation_error` | the clause raises on this record, as in PostgreSQL |
  | `:invalid_argument` | an argument of another kind than documented |
  | `:unknown_tenant` | the registry has no tenant of this name |
  | `:closed` | the router, the index or the circuit was closed |
  | `:stale_index` | an index's struct is older than the newest one that came of it |
  | `:invalid_table`, `:duplicate_table`, `:unknown_table` | a circuit's tables: one contradicts itself, is there twice, is not there |
  | `:duplicate_view`, `:unknown_view` | the view's id is taken, or nobody has it |
  | `:duplicate_name` | two tables of a query go by one name |
  | `:raised` | a view's expression raises for a row, as in PostgreSQL; nothing is changed |
  | `:type_mismatch`, `:missing_value`, `:null_key` | a value is none of its column's type; a new row lacks a column; a key is NULL |
  | `:wrong_length`, `:key_mismatch` | an id has another number of values than its table's key; an id and its record differ |
  | `:missing_row`, `:duplicate_row` | there is no row of this id to change, or there is one already |
  | `:io`, `:not_restored` | a circuit's snapshot: the file system refused something; a view's query is refused now |
  | `:not_materialized` | the view keeps no rows |
  | `:locked` | the directory is open elsewhere |
  | `:mismatch` | the directory has a router of another table, other columns, key or settings |
  | `:not_empty` | a copy needs an empty directory |
  | `:damaged`, `:unknown_version` | a file is not what was written, or was written by another version |
  | `:io_error`, `:failed` | the file system refused something; nothing more is accepted after that |
  | `:behind` | merges are so far behind that a write was refused: try again later |
  | `:read_rows_failed`, `:load_rows_failed` | rows could not be read from the database |
  | `:source_error` | the replication connection ended |
  """

  @enforce_keys [:code, :message]
  defexception [:code, :message, :position, :sqlstate]

  @type t :: %__MODULE__{
          code: atom(),
          message: String.t(),
          position: non_neg_integer() | nil,
          sqlstate: String.t() | nil
        }

  @doc false
  @spec from_native({atom(), String.t(), non_neg_integer() | nil, String.t() | nil}) :: t()
  def from_native({code, message, position, sqlstate}) do
    %__MODULE__{code: code, message: message, position: position, sqlstate: sqlstate}
  end

  @doc false
  @spec result(term()) :: term()
  def result({:error, native}), do: {:error, from_native(native)}
  def result(other), do: other

  @doc false
  @spec argument(String.t()) :: {:error, t()}
  def argument(message), do: {:error, %__MODULE__{code: :invalid_argument, message: message}}
end
