defmodule Host.Shape do
  @moduledoc "A subscription of this service."

  defmodule Expr do
    @moduledoc "A parsed clause: `eval` is what this service's own filter goes by."
    defstruct [:query, :eval, :used_refs, returns: :bool]
  end

  @enforce_keys [:root_table, :root_table_id]
  defstruct [
    :root_table,
    :root_table_id,
    :root_pk,
    :root_column_count,
    :where,
    :selected_columns,
    :explicitly_selected_columns,
    shape_dependencies: [],
    shape_dependencies_handles: [],
    log_mode: :full,
    flags: %{},
    storage: %{compaction: :disabled},
    replica: :default
  ]

  @doc "`column = number` or `column > number`, of a table `todos`."
  def new(column, operator, value, type) do
    %__MODULE__{
      root_table: {"public", "todos"},
      root_table_id: 16_385,
      root_pk: ["id"],
      root_column_count: 4,
      selected_columns: ["id"],
      where: %Expr{
        query: "#{column} #{operator} #{value}",
        eval: {operator, column, value},
        used_refs: %{[column] => type}
      }
    }
  end
end
