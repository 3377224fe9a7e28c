defmodule ShapeRouter.Filter.Beam do
  @moduledoc false
  # The filter in Elixir: maps over `ShapeRouter.Index.Protocol` for the conditions that
  # `ShapeRouter.Filter.Clause` recognises, and predicates for what is left. It shares no index and no
  # decision with the routers of the other mode, so that one can be tested against the other.

  @behaviour ShapeRouter.Filter.Mode

  alias ShapeRouter.Filter.{Clause, Definition, Identity, Report, SubqueryIndex}
  alias ShapeRouter.Index.{EqualityIndex, InclusionIndex, Protocol, ValueType}
  alias ShapeRouter.{Error, Predicate, Telemetry}

  @enforce_keys [:index]
  defstruct [:index, shapes: %{}, tables: %{}, declared: %{}]

  # `indexes`: by {:equal | :include, column, type}. `scan`: shapes that none of them holds, with their
  # predicate, or `:always`. `columns`: how many shapes read a column.
  defmodule Table do
    @moduledoc false
    defstruct ids: MapSet.new(), indexes: %{}, scan: %{}, columns: %{}
  end

  @equal ~w(int2 int4 int8 numeric text varchar uuid date)a
  @names Map.new(@equal ++ [:bool], &{Atom.to_string(&1), &1})
         |> Map.merge(%{"smallint" => :int2, "integer" => :int4, "bigint" => :int8})
         |> Map.merge(%{"boolean" => :bool})

  @impl true
  def new(opts) do
    declared = Map.new(Keyword.get(opts, :columns, %{}))
    %__MODULE__{index: SubqueryIndex.new(), declared: declared}
  end

  @impl true
  def add_shape(state, id, shape) do
    if is_map_key(state.shapes, id), do: raise(Report.duplicate(id))
    definition = Definition.read(shape, Map.get(state.declared, shape.root_table, []))
    table = Map.get(state.tables, definition.table, %Table{})
    {filing, columns} = filing(definition, id)
    table = table |> file(id, filing) |> read_columns(columns, 1)
    table = %{table | ids: MapSet.put(table.ids, id)}
    refs = for {ref, _text, _types} <- definition.sublinks, do: ref
    if refs != [], do: SubqueryIndex.register(state.index, id, nil, refs)

    %{
      state
      | shapes: Map.put(state.shapes, id, {shape, definition, filing, columns}),
        tables: Map.put(state.tables, definition.table, table)
    }
  end

  @impl true
  def add_shapes(state, shapes),
    do: Enum.reduce(shapes, state, fn {id, shape}, state -> add_shape(state, id, shape) end)

  @impl true
  def remove_shape(state, id) do
    {{_shape, definition, filing, columns}, shapes} =
      case Map.pop(state.shapes, id) do
        {nil, _} -> raise Report.unknown(id)
        popped -> popped
      end

    table = state.tables[definition.table] |> unfile(id, filing) |> read_columns(columns, -1)
    table = %{table | ids: MapSet.delete(table.ids, id)}
    SubqueryIndex.unregister(state.index, id)

    tables =
      if MapSet.size(table.ids) == 0,
        do: Map.delete(state.tables, definition.table),
        else: Map.put(state.tables, definition.table, table)

    %{state | shapes: shapes, tables: tables}
  end

  # How a shape is filed, and the columns that are read of a record for it.
  defp filing(%{clause: nil}, _id), do: {{:scan, nil}, []}

  defp filing(definition, id) do
    case compile(definition, definition.clause) do
      {:ok, whole} -> {filed(definition, whole), Predicate.columns(whole)}
      {:error, error} -> {refused(id, definition, error), []}
    end
  end

  defp refused(id, definition, error) do
    Report.refused(id, definition, error)
    {:scan, :always}
  end

  defp filed(definition, whole) do
    types = Map.new(definition.columns, fn {name, type} -> {name, kind(type)} end)

    with {{how, column, values}, rest} <- Clause.access(definition.clause, types),
         {:ok, rest} <- rest(definition, rest),
         key = {how, column, List.keyfind(definition.columns, column, 0) |> elem(1)},
         true <- values_of?(key, values) do
      {:index, key, List.wrap(values), rest}
    else
      _ -> {:scan, whole}
    end
  end

  defp rest(_definition, nil), do: {:ok, nil}
  defp rest(definition, rest), do: compile(definition, rest)

  # A constant that is no value of the column's type (1.5 of an integer) has no place in its index.
  defp values_of?(key, values) do
    Enum.each(List.wrap(values), &Protocol.add_shape(new_index(key), &1, nil, nil))
    true
  rescue
    Error -> false
  end

  defp compile(definition, clause) do
    columns = if definition.columns != [], do: definition.columns
    Predicate.compile(clause, columns: columns)
  end

  defp kind(type) when type in @equal, do: :equal
  defp kind(type) when type in [:bool, :boolean], do: :boolean
  defp kind({:array, type}), do: if(kind(type) in [:equal, :boolean], do: :array)
  defp kind(type) when is_map_key(@names, type), do: kind(Map.fetch!(@names, type))
  defp kind(_other), do: nil

  defp new_index({:equal, _column, type}), do: EqualityIndex.new(type)
  defp new_index({:include, _column, type}), do: InclusionIndex.new(type)

  defp file(table, id, {:scan, predicate}),
    do: %{table | scan: Map.put(table.scan, id, predicate)}

  defp file(table, id, {:index, key, values, rest}) do
    index = Map.get_lazy(table.indexes, key, fn -> new_index(key) end)
    index = Enum.reduce(values, index, &Protocol.add_shape(&2, &1, id, rest))
    %{table | indexes: Map.put(table.indexes, key, index)}
  end

  defp unfile(table, id, {:scan, _predicate}), do: %{table | scan: Map.delete(table.scan, id)}

  defp unfile(table, id, {:index, key, values, rest}) do
    index = Enum.reduce(values, table.indexes[key], &Protocol.remove_shape(&2, &1, id, rest))

    if Protocol.empty?(index),
      do: %{table | indexes: Map.delete(table.indexes, key)},
      else: %{table | indexes: %{table.indexes | key => index}}
  end

  defp read_columns(table, columns, change) do
    counts =
      Enum.reduce(columns, table.columns, fn column, counts ->
        case Map.get(counts, column, 0) + change do
          0 -> Map.delete(counts, column)
          count -> Map.put(counts, column, count)
        end
      end)

    %{table | columns: counts}
  end

  @impl true
  def affected(state, {:row, relation, op, new, old}) do
    case state.tables do
      %{^relation => table} -> of_rows(state, table, relation, rows(op, new, old))
      _ -> MapSet.new()
    end
  end

  def affected(state, {:truncate, relation}), do: everything(state, relation)

  def affected(state, {:relation, relation}) do
    for {id, {_shape, definition, _filing, _columns}} <- state.shapes,
        Identity.affected?(definition.identity, relation),
        into: MapSet.new(),
        do: id
  end

  # What is known of the row before and after; `:any` may have been any row.
  defp rows(:insert, new, _old) when is_map(new), do: [new]
  defp rows(:update, new, nil) when is_map(new), do: [new, :any]
  defp rows(:update, new, old) when is_map(new) and is_map(old), do: [new, old]
  defp rows(:delete, _new, nil), do: [:any]
  defp rows(:delete, _new, old) when is_map(old), do: [old]
  defp rows(_op, _new, _old), do: :unreadable

  defp of_rows(_state, table, relation, :unreadable) do
    message = "a record is missing, or no map"
    Report.unreadable(relation, %Error{code: :invalid_change, message: message})
    table.ids
  end

  defp of_rows(state, table, relation, rows) do
    Enum.reduce(rows, MapSet.new(), fn
      :any, found -> MapSet.union(found, may_have_had_any(state, table))
      row, found -> of_row(state, table, whole(row, table.columns), relation, found)
    end)
  end

  # Without the row, only a clause that nothing can make true excludes its shape.
  defp may_have_had_any(state, table) do
    for id <- table.ids, may_have_had_any?(state.shapes[id]), into: MapSet.new(), do: id
  end

  defp may_have_had_any?({_shape, %{clause: nil}, _filing, _columns}), do: true

  defp may_have_had_any?({_shape, definition, _filing, _columns}) do
    case compile(definition, definition.clause) do
      {:ok, predicate} -> Predicate.eval(predicate, %{}) not in [false, nil]
      {:error, _refused} -> true
    end
  end

  # A column that the record does not have is NULL.
  defp whole(row, columns) do
    Enum.reduce(columns, row, fn {column, _count}, row ->
      if is_map_key(row, column) or named_by_atom?(row, column),
        do: row,
        else: Map.put(row, column, nil)
    end)
  end

  defp named_by_atom?(row, column) do
    is_map_key(row, String.to_existing_atom(column))
  rescue
    ArgumentError -> false
  end

  defp of_row(state, table, row, relation, found) do
    found =
      for {{_how, column, _type}, index} <- table.indexes,
          id <- of_index(state, index, column, row, relation),
          into: found,
          do: id

    for {id, predicate} <- table.scan, holds?(predicate, row, relation), into: found, do: id
  end

  # A value that cannot be read says nothing of a shape that the rest of its clause excludes.
  defp of_index(state, index, column, row, relation) do
    found = Protocol.affected_shapes(index, column, row, %{})

    if unreadable?(index, ValueType.field(row, column)) do
      for id <- found,
          {_shape, definition, _filing, _columns} = state.shapes[id],
          {:ok, whole} <- [compile(definition, definition.clause)],
          holds?(whole, row, relation),
          do: id
    else
      found
    end
  end

  defp unreadable?(%InclusionIndex{value_type: type}, value),
    do: match?({:error, _}, ValueType.element_keys(type, value))

  defp unreadable?(%{value_type: type}, value),
    do: match?({:error, _}, ValueType.key(type, value))

  defp holds?(nil, _row, _relation), do: true
  defp holds?(:always, _row, _relation), do: true

  defp holds?(predicate, row, relation) do
    case Predicate.eval(predicate, row) do
      true ->
        true

      {:error, error} ->
        Telemetry.execute([:eval, :error], %{count: 1}, %{table: relation, error: error})
        true

      _false_or_null ->
        false
    end
  end

  @impl true
  def everything(state, :all), do: state.shapes |> Map.keys() |> MapSet.new()

  def everything(state, relation) do
    case state.tables do
      %{^relation => table} -> table.ids
      _ -> MapSet.new()
    end
  end

  @impl true
  def has_shape?(state, id), do: is_map_key(state.shapes, id)

  @impl true
  def active_shapes(state), do: Map.keys(state.shapes)

  @impl true
  def get_shape(state, id) do
    with {shape, _definition, _filing, _columns} <- Map.get(state.shapes, id), do: shape
  end

  @impl true
  def subquery_index(state), do: state.index

  @doc "Can an index hold a shape?"
  @spec indexed_shape?(map()) :: boolean()
  def indexed_shape?(shape) do
    definition = Definition.read(shape, [])

    with clause when clause != nil <- definition.clause,
         {:ok, whole} <- compile(definition, clause) do
      match?({:index, _, _, _}, filed(definition, whole))
    else
      _ -> false
    end
  end
end
