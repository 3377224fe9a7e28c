defmodule ShapeRouter.Filter.Definition do
  @moduledoc false
  # A host's shape, as far as a filter reads it.

  alias ShapeRouter.Filter.{Identity, Sublinks}

  @enforce_keys [:table, :clause, :columns, :identity]
  defstruct [:table, :clause, :columns, :identity, sublinks: []]

  @type t :: %__MODULE__{
          table: ShapeRouter.Changes.relation(),
          clause: String.t() | nil,
          columns: [{String.t(), ShapeRouter.column_type()}],
          identity: Identity.t(),
          sublinks: [Sublinks.link()]
        }

  @doc """
  Reads a shape. `declared` are the columns of its table that the filter's owner declared: their types
  are preferred to those that the shape tells.
  """
  @spec read(map(), ShapeRouter.columns()) :: t()
  def read(%{root_table: {schema, name} = table} = shape, declared)
      when is_binary(schema) and is_binary(name) do
    {clause, told} = clause(Map.get(shape, :where), Map.get(shape, :columns))
    declared = Map.new(declared, fn {column, type} -> {to_string(column), type} end)
    columns = for {column, type} <- told, do: {column, Map.get(declared, column, type)}

    %__MODULE__{
      table: table,
      clause: clause,
      columns: Enum.sort(columns),
      identity: Identity.read(shape, Enum.map(columns, &elem(&1, 0))),
      sublinks: Sublinks.read(clause, references(Map.get(shape, :where)))
    }
  end

  defp clause(nil, _columns), do: {nil, []}

  defp clause(text, columns) when is_binary(text),
    do: {text, for({column, type} <- columns || [], do: {to_string(column), type})}

  defp clause(%{query: text} = where, _columns) when is_binary(text) do
    # References of another form are those of subqueries, which are no columns.
    {text, for({[column], type} <- Map.get(where, :used_refs) || %{}, do: {column, type(type)})}
  end

  defp references(%{used_refs: %{} = refs}), do: refs
  defp references(_where), do: %{}

  # A host that knows an enum by its name only compares its values as texts.
  defp type({:enum, name}) when is_binary(name) or is_atom(name), do: :text
  defp type({:array, element}), do: {:array, type(element)}
  defp type(type), do: type

  @doc "`\"schema.table\"`, as clauses may call it."
  @spec name(ShapeRouter.Changes.relation()) :: String.t()
  def name({schema, table}), do: schema <> "." <> table
end
