defmodule ShapeRouter.Collector.Transaction do
  @moduledoc false
  # A transaction (or a fragment of one) -> what belongs to which shape.

  alias ShapeRouter.Changes.Relation
  alias ShapeRouter.Collector.Tables

  @typedoc "The number of the operation, the change, and what it is to which shapes."
  @type answered ::
          {non_neg_integer(), ShapeRouter.Changes.change(),
           [{ShapeRouter.id(), ShapeRouter.op()}]}
  @type routed :: [{Tables.t(), [answered()]}]

  @doc """
  Routes the changes, those of a table in one call. Answers come in the order of the WAL, and only
  where there are any.
  """
  @spec route(%{Tables.name() => Tables.t()}, map()) ::
          {:ok, routed()} | {:error, ShapeRouter.Error.t()}
  def route(tables, transaction) do
    fragment = fragment(transaction)
    place = {transaction.lsn, fragment, Map.get(transaction, :xid)}

    transaction.changes
    |> Enum.with_index(fn change, index -> {position(fragment, index), change} end)
    |> Enum.group_by(fn {_position, change} -> relation(change) end)
    |> Enum.reduce_while({:ok, []}, fn {relation, changes}, {:ok, routed} ->
      with %Tables{} = table <- tables[relation],
           answers when is_list(answers) <-
             ShapeRouter.route_txn(table.router, place, Enum.map(changes, &elem(&1, 1))) do
        {:cont, {:ok, [{table, answered(changes, answers)} | routed]}}
      else
        # A table that no shape can be of.
        nil -> {:cont, {:ok, routed}}
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
  end

  @doc "Ascending over all fragments. Every second number: a row that gets another key is two entries."
  @spec position(non_neg_integer(), non_neg_integer()) :: non_neg_integer()
  def position(fragment, index) when is_integer(fragment) and is_integer(index),
    do: Bitwise.bsl(fragment, 32) + 2 * index

  defp answered([], []), do: []
  defp answered([_ | changes], [[] | answers]), do: answered(changes, answers)

  defp answered([{position, change} | changes], [answer | answers]),
    do: [{position, change, answer} | answered(changes, answers)]

  @doc """
  The answers to changes of rows, and the shapes that a change of their table concerns, each with why: no entry
  of a log could tell it.
  """
  @spec altered(routed()) :: {routed(), [{ShapeRouter.id(), ShapeRouter.Error.t()}]}
  def altered(routed) do
    if Enum.any?(routed, fn {_, answered} -> Enum.any?(answered, &definition?/1) end),
      do: Enum.map_reduce(routed, [], &altered/2),
      else: {routed, []}
  end

  defp altered({table, answered}, concerned) do
    {definitions, answered} = Enum.split_with(answered, &definition?/1)
    message = "#{Tables.text(table.name)} was altered"
    error = %ShapeRouter.Error{code: :mismatch, message: message}
    ids = for {_, _, answer} <- definitions, {id, _op} <- answer, uniq: true, do: id
    {{table, answered}, Enum.map(ids, &{&1, error}) ++ concerned}
  end

  defp definition?({_position, change, _answer}),
    do: match?(%{columns: columns, id: _} when is_list(columns), change)

  @doc "The entries of these shapes, by shape, the newest first."
  @spec entries(routed(), non_neg_integer(), (ShapeRouter.id() -> boolean())) :: %{
          ShapeRouter.id() => [map()]
        }
  def entries(routed, lsn, wanted?) do
    for {_table, answered} <- routed,
        {position, change, answer} <- answered,
        {id, op} <- answer,
        wanted?.(id),
        reduce: %{} do
      entries ->
        entry = %{offset: {lsn, position}, op: op, change: change}
        Map.update(entries, id, [entry], &[entry | &1])
    end
  end

  @doc "The shapes that it concerns."
  @spec ids(routed()) :: MapSet.t(ShapeRouter.id())
  def ids(routed) do
    for {_, answered} <- routed,
        {_, _, answer} <- answered,
        {id, _} <- answer,
        into: MapSet.new(),
        do: id
  end

  @doc "Whether it concerns any shape."
  @spec any?(routed()) :: boolean()
  def any?(routed), do: Enum.any?(routed, fn {_, answered} -> answered != [] end)

  @doc "Whether it ends the transaction. A host's own come whole."
  @spec last?(map()) :: boolean()
  def last?(transaction), do: Map.get(transaction, :last?, true) != false

  @spec fragment(map()) :: non_neg_integer()
  def fragment(transaction), do: Map.get(transaction, :fragment) || 0

  @doc "The table that a change is of."
  @spec relation(map()) :: Tables.name()
  def relation(%Relation{schema: schema, table: table}), do: {schema, table}
  def relation(%{relation: relation}), do: relation
  def relation(%{schema: schema, table: table}), do: {schema, table}
end
