defmodule ShapeRouter.Shape do
  @moduledoc """
  A subscription, as `ShapeRouter.Filter` takes it: a table, and a clause that tells which of its rows
  belong to it.

      %ShapeRouter.Shape{
        root_table: {"public", "todos"},
        root_table_id: 16_385,
        where: "user_id = 5",
        columns: [user_id: :int8]
      }

  A host's own struct with these fields serves as well:

    * `root_table` - `{schema, table}` (required)
    * `root_table_id` - the table's OID, by which it is known when it is renamed
    * `root_column_count` - how many columns the table has
    * `where` - `nil` (all rows), the clause's text, or a struct with `query`, its text, and `used_refs`,
      `%{["user_id"] => :int8}`: the types of the columns that it reads
    * `columns` - the types of the columns, where `where` is a text; without them a column's type is
      fixed by the literal that it is compared with
    * `selected_columns` - the names of the columns that the shape shows
    * `flags` - `%{selects_all_columns: true}` if it shows all of them
  """

  @enforce_keys [:root_table]
  defstruct [
    :root_table,
    :root_table_id,
    :root_pk,
    :root_column_count,
    :where,
    :columns,
    :selected_columns,
    flags: %{}
  ]

  @type t :: %__MODULE__{
          root_table: ShapeRouter.Changes.relation(),
          root_table_id: non_neg_integer() | nil,
          root_pk: [String.t()] | nil,
          root_column_count: non_neg_integer() | nil,
          where: nil | String.t() | %{required(:query) => String.t(), optional(atom()) => term()},
          columns: ShapeRouter.columns() | nil,
          selected_columns: [String.t()] | nil,
          flags: %{optional(atom()) => boolean()}
        }
end
