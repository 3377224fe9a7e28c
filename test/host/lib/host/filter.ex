defmodule Host.Filter do
  @moduledoc """
  This service's own filter: every shape is asked for every change. It compares numbers as 64-bit floats,
  which is why its owners want another one.
  """

  alias Host.Changes.{DeletedRecord, NewRecord, Relation, TruncatedRelation, UpdatedRecord}

  defstruct shapes: %{}, stack_id: nil

  def new(opts \\ []), do: %__MODULE__{stack_id: opts[:stack_id]}

  def add_shape(filter, id, shape) do
    if has_shape?(filter, id), do: raise("duplicate shape #{id}")
    %{filter | shapes: Map.put(filter.shapes, id, shape)}
  end

  def remove_shape(filter, id) do
    {%Host.Shape{}, shapes} = Map.pop(filter.shapes, id)
    %{filter | shapes: shapes}
  end

  def affected_shapes(filter, %NewRecord{relation: table, record: row}),
    do: of(filter, table, [row])

  def affected_shapes(filter, %DeletedRecord{relation: table, old_record: row}),
    do: of(filter, table, [row])

  def affected_shapes(filter, %UpdatedRecord{relation: table} = change),
    do: of(filter, table, [change.record, change.old_record])

  def affected_shapes(filter, %TruncatedRelation{relation: table}),
    do: for({id, %{root_table: ^table}} <- filter.shapes, into: MapSet.new(), do: id)

  def affected_shapes(filter, %Relation{id: oid, schema: schema, table: table}) do
    for {id, shape} <- filter.shapes,
        shape.root_table_id == oid != (shape.root_table == {schema, table}),
        into: MapSet.new(),
        do: id
  end

  defp of(filter, table, rows) do
    for {id, %{root_table: ^table} = shape} <- filter.shapes,
        Enum.any?(rows, &holds?(shape.where.eval, &1)),
        into: MapSet.new(),
        do: id
  end

  defp holds?({operator, column, value}, row) do
    case row[column] do
      nil -> false
      text when operator == "=" -> number(text) == number(value)
      text when operator == ">" -> number(text) > number(value)
    end
  end

  defp number(value) do
    {number, ""} = value |> to_string() |> Float.parse()
    number
  end

  def has_shape?(filter, id), do: is_map_key(filter.shapes, id)
  def active_shapes(filter), do: Map.keys(filter.shapes)
  def get_shape(filter, id), do: filter.shapes[id]
  def indexed_shape?(_shape), do: false
end
