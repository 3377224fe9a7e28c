defmodule ShapeRouter.Filter do
  @moduledoc """
  The shapes of all tables that a change belongs to, with any term as a shape's id.

      iex> alias ShapeRouter.{Changes, Filter, Shape}
      iex> shape = %Shape{root_table: {"public", "todos"}, where: "user_id = 5", columns: [user_id: :int8]}
      iex> filter = Filter.new(filter: :native) |> Filter.add_shape("handle-1", shape)
      iex> change = %Changes.NewRecord{relation: {"public", "todos"}, record: %{"user_id" => "5"}}
      iex> Filter.affected_shapes(filter, change)
      MapSet.new(["handle-1"])

  It takes the place of a sync service's own filter: `docs/adopting.md` says how to switch over step by
  step, `docs/filter-differences.md` in what its answers differ.

  ## Modes

  `config :shape_router, filter: mode`, read once by `new/1`:

    * `:native` (the default) - a `ShapeRouter` for each table, made when its first shape comes
    * `:beam` - in Elixir: maps over `ShapeRouter.Index.Protocol`, and for the rest of a clause
      `ShapeRouter.Predicate`. The same answers, slower; what the other is tested against
    * `{:shadow, Module}` - `Module`, which has the functions of this one, answers; `:native` is asked
      too, and each difference is counted, told as telemetry, and logged once for each cause. See
      `differences/1`

  ## Shapes and changes

  A shape is a `ShapeRouter.Shape`, or any struct with its fields. A change is one of
  `ShapeRouter.Changes`, or any struct with the same fields: `relation` with `record` (an insert),
  `old_record` (a delete), both (an update) or neither (a truncate); `id`, `schema`, `table` and
  `columns` (a relation message); `changes` (a transaction: what any of them concerns).

  A record's `nil` is NULL, and so is a column that the record does not have. An update or a delete
  without its `old_record` concerns every shape that may have had the row.

  ## What cannot be evaluated

  concerns the shape that cannot be evaluated, and no other: a clause that is refused makes its shape
  concerned by every change of its table (it is logged), a value that cannot be read or a clause that
  raises makes the shape concerned by this change. A change that cannot be read concerns all shapes.

  ## Subqueries

  A shape's clause may have subqueries (`project_id IN (SELECT id FROM projects WHERE owner_id = 5)`). What
  these select its consumer says, through `subquery_index/1`; until it did, the shape is concerned by every
  change that the rest of its clause does not rule out. The mode `:beam` takes such shapes for concerned by
  every change of their table.

  ## Processes

  A filter is changed by one process at a time, which goes on with what the last call returned;
  any process may ask it. The ids and shapes of the mode `:native` end with the process that called
  `new/1`.
  """

  alias ShapeRouter.Filter.{Beam, Native, Report, Shadow, SubqueryIndex}
  alias ShapeRouter.{Error, Telemetry}

  @enforce_keys [:module, :state]
  defstruct [:module, :state]

  @type mode :: :native | :beam | {:shadow, module()}
  @opaque t :: %__MODULE__{module: module(), state: term()}
  @type shape_id :: term()

  @doc """
  A filter without shapes.

  Options:

    * `:filter` - the mode, instead of the configured one
    * `:columns` - `%{{"public", "todos"} => [id: :int8]}`: types of columns that are preferred to
      those which shapes tell (an enum with its labels, say)
    * `:keep_shapes` - `false`: in the mode `:native`, the shapes themselves are not kept, which takes
      most of the memory; `get_shape/2` then gives `nil` (default `true`)
    * `:tenant` - what the routers are named for (default `"default"`)
    * `:router` - options of `ShapeRouter.new/3` for the routers of the mode `:native`, but for
      `:data_dir`: a filter is in memory, and is told its shapes anew after a restart

  All others are ignored here, and handed on to the `Module` of `{:shadow, Module}`.
  """
  @spec new(keyword()) :: t()
  def new(opts \\ []) when is_list(opts) do
    case mode(Keyword.get_lazy(opts, :filter, &configured/0)) do
      {Shadow, host} -> %__MODULE__{module: Shadow, state: Shadow.new([{:host, host} | opts])}
      module -> %__MODULE__{module: module, state: module.new(opts)}
    end
  end

  defp configured, do: Application.get_env(:shape_router, :filter, :native)

  defp mode(:native), do: Native
  defp mode(:beam), do: Beam
  defp mode({:shadow, host}) when is_atom(host), do: {Shadow, host}

  defp mode(other) do
    message = "filter is :native, :beam or {:shadow, module}, not #{inspect(other)}"
    raise %Error{code: :invalid_argument, message: message}
  end

  @doc "Adds a shape. Raises `ShapeRouter.Error` if there is one with this id."
  @spec add_shape(t(), shape_id(), map()) :: t()
  def add_shape(%__MODULE__{module: module, state: state} = filter, id, shape),
    do: %{filter | state: module.add_shape(state, id, shape)}

  @doc """
  Adds many shapes, as `add_shape/3` does one after the other, but all of them or none: where one
  cannot be added it raises, and the filter is as it was. Shapes of one table and the same columns are
  filed together, in the mode `:native` off the scheduler, in a fraction of the time; it is for the
  start, when a host tells all that it has. They are taken from the enumerable a few thousand at a
  time, so a stream of a million is never in memory whole.

  In the mode `{:shadow, Module}` a `Module` that has no `add_shapes/2` is told them one by one.
  """
  @spec add_shapes(t(), Enumerable.t({shape_id(), map()})) :: t()
  def add_shapes(%__MODULE__{module: module, state: state} = filter, shapes),
    do: %{filter | state: module.add_shapes(state, shapes)}

  @doc "Removes a shape. Raises `ShapeRouter.Error` if there is none with this id."
  @spec remove_shape(t(), shape_id()) :: t()
  def remove_shape(%__MODULE__{module: module, state: state} = filter, id),
    do: %{filter | state: module.remove_shape(state, id)}

  @doc "The ids of the shapes that a change concerns."
  @spec affected_shapes(t(), term()) :: MapSet.t(shape_id())
  def affected_shapes(%__MODULE__{} = filter, change) do
    case Telemetry.sample() do
      nil -> affected(filter, change)
      started -> sampled(filter, change, started)
    end
  end

  defp sampled(filter, change, started) do
    shapes = affected(filter, change)
    Telemetry.routed(started, MapSet.size(shapes), %{source: :filter})
    shapes
  end

  # A host's own filter is given the host's own change.
  defp affected(%__MODULE__{module: Shadow, state: state}, change),
    do: Shadow.affected(state, change, &affected_by(Native, &1, change))

  defp affected(%__MODULE__{module: module, state: state}, change),
    do: affected_by(module, state, change)

  defp affected_by(module, state, %{relation: relation, record: new, old_record: old}),
    do: module.affected(state, {:row, relation, :update, new, old})

  defp affected_by(module, state, %{relation: relation, record: new}),
    do: module.affected(state, {:row, relation, :insert, new, nil})

  defp affected_by(module, state, %{relation: relation, old_record: old}),
    do: module.affected(state, {:row, relation, :delete, nil, old})

  defp affected_by(module, state, %{relation: relation}),
    do: module.affected(state, {:truncate, relation})

  defp affected_by(module, state, %{id: _, schema: _, table: _, columns: columns} = relation)
       when is_list(columns),
       do: module.affected(state, {:relation, relation})

  defp affected_by(module, state, %{changes: changes}) when is_list(changes) do
    Enum.reduce(changes, MapSet.new(), &MapSet.union(affected_by(module, state, &1), &2))
  end

  defp affected_by(module, state, other) do
    message = "not a change: #{inspect(other, limit: 5, printable_limit: 100)}"
    Report.unreadable(:all, %Error{code: :invalid_change, message: message})
    module.everything(state, :all)
  end

  @doc "Is there a shape with this id?"
  @spec has_shape?(t(), shape_id()) :: boolean()
  def has_shape?(%__MODULE__{module: module, state: state}, id), do: module.has_shape?(state, id)

  @doc "The ids of all shapes, in no order."
  @spec active_shapes(t()) :: [shape_id()]
  def active_shapes(%__MODULE__{module: module, state: state}), do: module.active_shapes(state)

  @doc "The shape with this id, as it was added; `nil` if there is none."
  @spec get_shape(t(), shape_id()) :: map() | nil
  def get_shape(%__MODULE__{module: module, state: state}, id), do: module.get_shape(state, id)

  @doc """
  By which the consumers of shapes with subqueries say what these see: `ShapeRouter.Filter.SubqueryIndex`.
  It stays the same as long as the filter, and any process may use it.

  In the mode `{:shadow, Module}` calls are handed on to `Module` where it has a function
  `subquery_index/1` of its own, which gives a struct whose module has these functions, or
  `{module, index}`; what that answers is the answer. `:native` is told the same.
  """
  @spec subquery_index(t()) :: SubqueryIndex.t()
  def subquery_index(%__MODULE__{module: module, state: state}), do: module.subquery_index(state)

  @doc """
  Can an index hold a shape, in the mode that is configured? One that none can is looked at for each
  change of its table.
  """
  @spec indexed_shape?(map()) :: boolean()
  def indexed_shape?(shape) do
    case mode(configured()) do
      {Shadow, host} -> host.indexed_shape?(shape)
      module -> module.indexed_shape?(shape)
    end
  end

  @doc """
  What the mode `{:shadow, Module}` has found: how many answers were compared, how many of them
  differed, how often `:native` failed, and the causes, the most frequent first. A cause is a kind of clause
  (constants are shown as `?`) with what it did:

    * `:missing` - `Module` named the shape, `:native` did not
    * `:extra` - `:native` named it, `Module` did not

  In the other modes nothing is compared.
  """
  @spec differences(t()) :: %{
          compared: non_neg_integer(),
          differing: non_neg_integer(),
          failed: non_neg_integer(),
          causes: [
            %{
              kind: :missing | :extra,
              table: ShapeRouter.Changes.relation() | nil,
              clause: String.t() | nil,
              columns: [String.t()],
              example: shape_id(),
              count: pos_integer()
            }
          ]
        }
  def differences(%__MODULE__{module: Shadow, state: state}), do: Shadow.differences(state)
  def differences(%__MODULE__{}), do: %{compared: 0, differing: 0, failed: 0, causes: []}

  @doc """
  The resident bytes of a filter in the mode `:native` (also of the one behind `{:shadow, Module}`):
  its `routers`, as they account for them, the `ids` (and where the shapes with subqueries are), and the
  `shapes` as they were given.
  """
  @spec memory_bytes(t()) :: %{
          routers: non_neg_integer(),
          ids: non_neg_integer(),
          shapes: non_neg_integer()
        }
  def memory_bytes(%__MODULE__{module: Native, state: state}), do: Native.memory_bytes(state)

  def memory_bytes(%__MODULE__{module: Shadow, state: state}),
    do: Native.memory_bytes(state.native)

  def memory_bytes(%__MODULE__{}), do: %{routers: 0, ids: 0, shapes: 0}
end
