defmodule ShapeRouter.ValueSet do
  @moduledoc """
  What a subquery selects, as the shapes that compare with it know it.

  A shape's clause may contain `IN (SELECT ...)`, `NOT IN`, `= ANY (SELECT ...)`, `<> ALL (SELECT ...)`, of
  one column or of several (`(a, b) IN (SELECT ...)`), combined with other conditions by `AND`, `OR` and
  `NOT`. A router evaluates no subquery: it keeps for each a *set* of the values that it selects. All shapes
  with the same subquery share one, whatever the spacing and case of its words; it comes with the first of
  them and goes with the last.

  A set is *unready* until it is seeded: so long whatever depends on it is answered with `:unknown`. After
  `new/3` on a `:data_dir` all sets are unready, since what they held may have changed meanwhile. With a
  `ShapeRouter.Circuit` sets are seeded and kept by themselves (`ShapeRouter.Subqueries`); without one this
  module feeds them.

      iex> {:ok, router} = ShapeRouter.new("tenant_1", "todos", columns: [id: :int8, project_id: :int8])
      iex> subquery = "SELECT id FROM projects WHERE owner_id = 5"
      iex> ShapeRouter.add_shape(router, 1, "project_id IN (\#{subquery})")
      iex> change = %{op: :insert, new_record: %{id: 1, project_id: 7}}
      iex> ShapeRouter.route(router, change, classify: true)
      [{1, :unknown}]
      iex> ShapeRouter.ValueSet.seed(router, subquery, [7, 8])
      :ok
      iex> ShapeRouter.route(router, change, classify: true)
      [{1, :insert}]
      iex> ShapeRouter.route_txn(router, 10, [{:values, subquery, [9], [7]}, change])
      [[{:move_out, 1, [7]}, {:move_in, 1, [9]}], []]

  ## Values

  Of a subquery of one column a value is a term as a record may have it (`ShapeRouter`), `nil` for NULL; of
  several columns it is a list of those. It must be one of the type that the subquery selects, which without
  a circuit is taken to be that of what it is compared with.

  ## Moves

  In `ShapeRouter.route_txn/3` the item `{:values, subquery, added, removed}` says what the transaction does
  to a set at that point. Later changes of the transaction see it; `ShapeRouter.ack/2` makes it real, and
  routing the transaction again drops it first. Its answer says which rows move, `{:move_in, id, values}` or
  `{:move_out, id, values}`: those rows of the table whose left side is one of the values.

  | the clause has | a value comes | a value goes |
  |---|---|---|
  | `x IN (...)` | `:move_in` of the rows with it | `:move_out` |
  | `x NOT IN (...)` | `:move_out` | `:move_in` |
  | both, or `IN` where false and NULL differ | both | both |

  `nil` in a value stands for rows whose column is NULL: those are in `NOT IN` of an empty set only, and
  move when the first value comes and when the last one goes. With a NULL in the set `NOT IN` holds of no
  row: when the first one comes or the last one goes, the values are `:all`. A value that is there already,
  or that goes and comes again, moves nothing.

  A move names rows to look at. Where the clause has other conditions, of a `:move_in` only the rows that
  fulfil the whole clause come in, and of a `:move_out` those go that do not any more. In a clause that is
  nothing but such conditions joined by `AND`, all rows of a `:move_out` go.
  """

  alias ShapeRouter.{Error, Native}

  @enforce_keys [:subquery, :types, :ready, :values, :shapes]
  defstruct [:subquery, :types, :ready, :values, :shapes]

  @typedoc "The subquery's text, what it selects, whether it was seeded, how many values and shapes it has."
  @type t :: %__MODULE__{
          subquery: String.t(),
          types: [String.t()],
          ready: boolean(),
          values: non_neg_integer(),
          shapes: non_neg_integer()
        }

  @typedoc "A subquery's text, or a shape that has one subquery."
  @type which :: String.t() | ShapeRouter.id()
  @type value :: term() | [term()]
  @type delta :: {:values, subquery :: String.t(), added :: [value()], removed :: [value()]}
  @type move :: {:move_in | :move_out, ShapeRouter.id(), [value()] | :all}

  @doc "All sets of a router."
  @spec list(ShapeRouter.t()) :: [t()]
  def list(router), do: router |> Native.router_value_sets() |> Enum.map(&from_native/1)

  @doc false
  def from_native({subquery, types, ready, values, shapes}),
    do: %__MODULE__{
      subquery: subquery,
      types: types,
      ready: ready,
      values: values,
      shapes: shapes
    }

  @doc "The texts of a shape's subqueries, as `list/1` has them."
  @spec subqueries(ShapeRouter.t(), ShapeRouter.id()) :: [String.t()] | {:error, Error.t()}
  def subqueries(router, id), do: router |> Native.router_subqueries(id) |> Error.result()

  @doc "The text that a subquery has in `list/1`, whatever it is written like."
  @spec text(String.t()) :: {:ok, String.t()} | {:error, Error.t()}
  def text(subquery) when is_binary(subquery),
    do: subquery |> Native.subquery_text() |> Error.result()

  @doc """
  Says all that a subquery selects, in the place of what was said before: from then on its set is ready.
  Nobody sees a part of it. It moves nothing: who adds a shape reads its rows as well.
  """
  @spec seed(ShapeRouter.t(), which(), [value()]) :: :ok | {:error, Error.t()}
  def seed(router, which, values) when is_list(values) do
    with {:ok, subquery} <- subquery(router, which),
         do: router |> Native.router_seed_values(subquery, values) |> Error.result()
  end

  @doc "Adds values outside of transactions; what is there already stays. It moves nothing."
  @spec add(ShapeRouter.t(), which(), [value()]) :: :ok | {:error, Error.t()}
  def add(router, which, values) when is_list(values), do: feed(router, which, values, [])

  @doc "Takes values away outside of transactions; what is not there is no error. It moves nothing."
  @spec remove(ShapeRouter.t(), which(), [value()]) :: :ok | {:error, Error.t()}
  def remove(router, which, values) when is_list(values), do: feed(router, which, [], values)

  defp feed(router, which, added, removed) do
    with {:ok, subquery} <- subquery(router, which),
         do: router |> Native.router_feed_values(subquery, added, removed) |> Error.result()
  end

  @doc "Says that a set has all its values (or, with `false`, that nothing is known of them any more)."
  @spec ready(ShapeRouter.t(), which(), boolean()) :: :ok | {:error, Error.t()}
  def ready(router, which, ready \\ true) when is_boolean(ready) do
    with {:ok, subquery} <- subquery(router, which),
         do: router |> Native.router_mark_values(subquery, ready) |> Error.result()
  end

  defp subquery(_router, subquery) when is_binary(subquery), do: {:ok, subquery}

  defp subquery(router, id) do
    case subqueries(router, id) do
      [subquery] ->
        {:ok, subquery}

      several when is_list(several) ->
        Error.argument("shape #{id} has #{length(several)} subqueries: name one by its text")

      error ->
        error
    end
  end
end
