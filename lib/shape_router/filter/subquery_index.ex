defmodule ShapeRouter.Filter.SubqueryIndex do
  @moduledoc """
  What the shapes of a filter see of their subqueries, each fed by its own consumer at its own time.

      iex> alias ShapeRouter.{Changes, Filter, Shape}
      iex> alias ShapeRouter.Filter.SubqueryIndex
      iex> shape = %Shape{
      ...>   root_table: {"public", "todos"},
      ...>   where: "project_id IN (SELECT id FROM projects WHERE owner_id = 5)",
      ...>   columns: [project_id: :int8]
      ...> }
      iex> filter = Filter.new(filter: :native) |> Filter.add_shape("a", shape) |> Filter.add_shape("b", shape)
      iex> index = Filter.subquery_index(filter)
      iex> ref = ["$sublink", "0"]
      iex> change = %Changes.NewRecord{relation: {"public", "todos"}, record: %{"project_id" => "7"}}
      iex> Filter.affected_shapes(filter, change)
      MapSet.new(["a", "b"])
      iex> for id <- ["a", "b"] do
      ...>   SubqueryIndex.seed_membership(index, id, ref, 0, MapSet.new([1, 2]))
      ...>   SubqueryIndex.mark_ready(index, id)
      ...> end
      iex> Filter.affected_shapes(filter, change)
      MapSet.new([])
      iex> SubqueryIndex.add_value(index, "a", ref, 0, 7)
      :ok
      iex> Filter.affected_shapes(filter, change) |> MapSet.member?("a")
      true
      iex> {SubqueryIndex.member?(index, "a", ref, 7), SubqueryIndex.member?(index, "b", ref, 7)}
      {true, false}

  `ShapeRouter.Filter.subquery_index/1` gives the handle. It stays the same while shapes come and go, and
  any process may use it, while the filter's owner adds, removes and routes.

  ## What a shape goes through

  A shape that is added with a subquery in its clause is in **fallback**: it is concerned by every change of
  its table that the rest of its clause does not rule out. Its consumer says what it sees
  (`seed_membership/5`, for each subquery), and then that it is ready (`mark_ready/2`): from then on the
  shape is routed by what it sees. A subquery of which nothing was said selects nothing. Afterwards the
  consumer tells each value that comes or goes, when it is so far. `ShapeRouter.Filter.remove_shape/2`
  forgets all of it.

  ## Consumers that are not equally far

  Shapes with the same subquery share one set of values: what they agree on is kept once, however many they
  are, and beside it only the values on which they differ, with who has them. While they differ on a value,
  a change that depends on it is answered with all of these shapes, those that have it and those that have
  not, under `IN` as under `NOT IN`; a shape that is concerned is never missed. `member?/4` is exact for each
  shape at any time. As soon as they agree, so does the answer. A shape that comes late is in fallback
  alone; what its consumer says counts from its `seed_membership/5` on.

  ## Names, values

  A subquery's name is `["$sublink", "0"]`, `["$sublink", "1"]` and so on, in the order of the subqueries in
  the clause; those within subqueries are not counted. One that stands there twice has two names, unless the
  shape's `used_refs` have one only. What is told of a shape by `used_refs` under such a name, `{:array,
  :int8}` or `{:array, {:row, [:int8, :text]}}`, is the type of what the subquery selects; without it, it is
  taken to be that of what it is compared with. `dep_index` is the number that the name has; it is there
  because consumers have it at hand.

  A value is a term of its type or its text, `nil` is NULL, and several columns are a tuple (or a list).
  Values are the same where PostgreSQL's `=` says so: `"7"` and `7` are, of a number. NULL is what it is to
  PostgreSQL: where a shape sees one, `x NOT IN (...)` holds of no row.

  ## Errors

  All functions raise `ShapeRouter.Error`: `:unknown_shape` (the filter has none with this id, or one
  without subqueries), `:unknown_set` (it has no subquery of this name), `:invalid_value` (a value is none
  of the type that the subquery selects; nothing has changed then). `fallback?/2` and `has_positions?/2` say
  `false` of what is unknown.

  ## Shapes that no index can hold

  Where a clause is refused (see `docs/filter-differences.md`), or the shape tells another number of
  subqueries than its clause has, and in the mode `:beam`, values are kept by themselves for each shape, as
  the terms that they are: `member?/4` is right, and the shape is concerned by every change of its table
  whatever its consumer says.
  """

  alias ShapeRouter.{Error, Native}
  alias ShapeRouter.Filter.Shadow

  @enforce_keys [:table]
  defstruct [:table, :host]

  @typedoc "A handle: any process may have it."
  @opaque t :: %__MODULE__{table: :ets.tid(), host: term()}
  @type shape_id :: ShapeRouter.Filter.shape_id()
  @type subquery_ref :: [String.t()]
  @type value :: term()

  # In the table: {{:shape, id}, router, number, names}, of a shape that a router has; {{:shape, id}, nil,
  # ready?, names} of one whose values are kept here, each of them {{:value, id, ref, value}}.

  @doc false
  @spec new() :: t()
  def new do
    table = :ets.new(:shape_router_subqueries, [:set, :public, read_concurrency: true])
    %__MODULE__{table: table}
  end

  @doc false
  # Calls go to the host's own index, and then here.
  @spec beside(t(), {module(), term()} | nil, struct()) :: t()
  def beside(index, own, shadow), do: %{index | host: {own, shadow}}

  @doc false
  @spec register(t(), shape_id(), {ShapeRouter.t(), non_neg_integer()} | nil, [subquery_ref()]) ::
          :ok
  def register(index, id, place, refs) do
    names = refs |> Enum.with_index() |> Map.new()

    entry =
      case place do
        {router, number} -> {{:shape, id}, router, number, names}
        nil -> {{:shape, id}, nil, false, names}
      end

    :ets.insert(index.table, entry)
    :ok
  end

  @doc false
  @spec unregister(t(), shape_id()) :: :ok
  def unregister(index, id) do
    case :ets.take(index.table, {:shape, id}) do
      # An id may be any term, also one that means something in a pattern.
      [{_, nil, _ready?, _names}] ->
        of_shape = {{{:value, :"$1", :_, :_}}, [{:"=:=", :"$1", {:const, id}}], [true]}
        :ets.select_delete(index.table, [of_shape])

      _ ->
        :ok
    end

    :ok
  end

  @doc false
  @spec memory_bytes(t()) :: non_neg_integer()
  def memory_bytes(index) do
    case :ets.info(index.table, :memory) do
      words when is_integer(words) -> words * :erlang.system_info(:wordsize)
      :undefined -> 0
    end
  end

  @doc """
  Says what a shape sees of a subquery: all of it, where it is the first that is said, and more of it
  after that. Nothing of it is seen in part.
  """
  @spec seed_membership(t(), shape_id(), subquery_ref(), non_neg_integer(), Enumerable.t(value())) ::
          :ok
  def seed_membership(index, shape_id, subquery_ref, dep_index, view) do
    forward(index, :seed_membership, [shape_id, subquery_ref, dep_index, view], fn ->
      case name(index, shape_id, subquery_ref) do
        {nil, id, ref} ->
          :ets.insert(index.table, for(value <- view, do: {{:value, id, ref, value}}))
          :ok

        {router, number, name} ->
          values = Enum.map(view, &plain/1)
          router |> Native.feeder_seed(number, name, values) |> done(shape_id)
      end
    end)
  end

  @doc "Says that a shape has said all that it sees: from now on it is routed by that."
  @spec mark_ready(t(), shape_id()) :: :ok
  def mark_ready(index, shape_id) do
    forward(index, :mark_ready, [shape_id], fn ->
      case entry(index, shape_id) do
        {nil, _ready?, _names} ->
          :ets.update_element(index.table, {:shape, shape_id}, {3, true})
          :ok

        {router, number, _names} ->
          router |> Native.feeder_ready(number) |> done(shape_id)
      end
    end)
  end

  @doc "A value comes to what a shape sees; one that is there stays."
  @spec add_value(t(), shape_id(), subquery_ref(), non_neg_integer(), value()) :: :ok
  def add_value(index, shape_id, subquery_ref, dep_index, value) do
    forward(index, :add_value, [shape_id, subquery_ref, dep_index, value], fn ->
      case name(index, shape_id, subquery_ref) do
        {nil, id, ref} ->
          :ets.insert(index.table, {{:value, id, ref, value}})
          :ok

        {router, number, name} ->
          router |> feed(number, name, [plain(value)], []) |> done(shape_id)
      end
    end)
  end

  @doc "A value goes from what a shape sees; one that is not there is no error."
  @spec remove_value(t(), shape_id(), subquery_ref(), non_neg_integer(), value()) :: :ok
  def remove_value(index, shape_id, subquery_ref, dep_index, value) do
    forward(index, :remove_value, [shape_id, subquery_ref, dep_index, value], fn ->
      case name(index, shape_id, subquery_ref) do
        {nil, id, ref} ->
          :ets.delete(index.table, {:value, id, ref, value})
          :ok

        {router, number, name} ->
          router |> feed(number, name, [], [plain(value)]) |> done(shape_id)
      end
    end)
  end

  @doc """
  Does a shape see this value, itself and at this time? `nil` asks whether it sees a NULL, which is not
  whether `NULL IN (...)` holds.
  """
  @spec member?(t(), shape_id(), subquery_ref(), value()) :: boolean()
  def member?(index, shape_id, subquery_ref, value) do
    forward(index, :member?, [shape_id, subquery_ref, value], fn ->
      case name(index, shape_id, subquery_ref) do
        {nil, id, ref} ->
          :ets.member(index.table, {:value, id, ref, value})

        {router, number, name} ->
          router |> Native.feeder_member(number, name, plain(value)) |> done(shape_id)
      end
    end)
  end

  @doc "Is it a shape with subqueries that is not ready yet?"
  @spec fallback?(t(), shape_id()) :: boolean()
  def fallback?(index, shape_id) do
    forward(index, :fallback?, [shape_id], fn ->
      case :ets.lookup(index.table, {:shape, shape_id}) do
        [{_, nil, ready?, _names}] -> not ready?
        [{_, router, number, _names}] -> Native.feeder_awaited(router, number) == true
        [] -> false
      end
    end)
  end

  @doc "Is it a shape that is routed by what it sees of its subqueries, once it is ready?"
  @spec has_positions?(t(), shape_id()) :: boolean()
  def has_positions?(index, shape_id) do
    forward(index, :has_positions?, [shape_id], fn ->
      match?([{_, router, _, _}] when router != nil, :ets.lookup(index.table, {:shape, shape_id}))
    end)
  end

  # A few values are fed at once, unless somebody feeds many.
  defp feed(router, number, name, added, removed) do
    case Native.feeder_feed(router, number, name, added, removed) do
      :busy -> Native.feeder_feed_waiting(router, number, name, added, removed)
      answer -> answer
    end
  end

  defp plain(value) when is_tuple(value), do: Tuple.to_list(value)
  defp plain(value), do: value

  defp done(answer, shape_id) do
    case Error.result(answer) do
      # With the last shape of a table its router goes.
      {:error, %Error{code: code}} when code in [:unknown_shape, :closed] ->
        raise unknown(shape_id)

      {:error, error} ->
        raise %{error | message: "shape #{inspect(shape_id)}: #{error.message}"}

      answer ->
        answer
    end
  end

  defp entry(index, shape_id) do
    case :ets.lookup(index.table, {:shape, shape_id}) do
      [{_, router, number, names}] -> {router, number, names}
      [] -> raise unknown(shape_id)
    end
  end

  # Of a shape that is kept here its id and the name itself.
  defp name(index, shape_id, ref) do
    case entry(index, shape_id) do
      {nil, _ready?, names} when is_map_key(names, ref) -> {nil, shape_id, ref}
      {router, number, %{^ref => name}} -> {router, number, name}
      {_router, _number, names} -> raise unnamed(shape_id, ref, Map.keys(names))
    end
  end

  defp unknown(shape_id) do
    message = "there is no shape #{inspect(shape_id)} with subqueries"
    %Error{code: :unknown_shape, message: message}
  end

  defp unnamed(shape_id, ref, names) do
    message = "shape #{inspect(shape_id)} has no subquery #{inspect(ref)}, but #{inspect(names)}"
    %Error{code: :unknown_set, message: message}
  end

  # The host's own index answers, where it has the function; what happens here it does not notice.
  defp forward(%{host: nil}, _function, _args, here), do: here.()

  defp forward(%{host: {own, shadow}}, function, args, here) do
    with {module, index} <- own,
         true <- function_exported?(module, function, length(args) + 1) do
      answer = apply(module, function, [index | args])
      Shadow.beside(shadow, {function, hd(args)}, here)
      answer
    else
      _no_function -> here.()
    end
  end
end
