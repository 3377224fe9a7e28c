defmodule ShapeRouter.Subqueries do
  @moduledoc """
  Routers whose shapes have subqueries, and the circuit that evaluates those: one process that keeps what
  subqueries select (`ShapeRouter.ValueSet`) up to date, at the cost of what changes.

      iex> alias ShapeRouter.Subqueries
      iex> todos = [columns: [id: :int8, project_id: :int8], primary_key: [:id]]
      iex> {:ok, router} = ShapeRouter.new("tenant_1", "todos", todos)
      iex> {:ok, subqueries} =
      ...>   Subqueries.start_link(
      ...>     tables: [projects: [columns: [id: :int8, owner_id: :int8], primary_key: [:id]]],
      ...>     routers: [todos: router]
      ...>   )
      iex> Subqueries.add_shape(subqueries, :todos, 1, "project_id IN (SELECT id FROM projects WHERE owner_id = 5)")
      :ok
      iex> Subqueries.route_txn(subqueries, 10, [
      ...>   %{table: "projects", op: :insert, new_record: %{id: 7, owner_id: 5}},
      ...>   %{table: "todos", op: :insert, new_record: %{id: 1, project_id: 7}}
      ...> ])
      [[{"todos", [{:move_in, 1, [7]}]}], [{"todos", [{1, :insert}]}]]
      iex> Subqueries.ack(subqueries, 10)
      :ok

  `:tables` are those that subqueries read. Each subquery is one view of their circuit and one set of each
  router, however many shapes have it; both come with the first shape and go with the last.

  ## Transactions

  `route_txn/3` takes the changes of all tables in WAL order. A change of a table of `:tables` is applied to
  the circuit at that point, and moves rows of the shapes whose subqueries it changes; a change of a router's
  table is routed by the sets as they stand there. A table may be both: then its row is routed first, and
  moves others (or itself) after that.

  Until `ack/2` the process knows what undoes a transaction: routing it again, after an error or because
  nobody knows whether its answer arrived, takes it and all later ones back first, so that nothing is applied
  twice. A transaction at or before the LSN acknowledged last changes nothing and moves nothing.

  ## Rows

  With `materialize: true` a shape is a view of the circuit too (its table must be one of `:tables`, and its
  clause one that the circuit takes). Then `add_shape/6` answers the rows that it has, and its moves carry the
  rows that really move: `{:move_in, id, values, rows}`, `{:move_out, id, values, rows}`. Without it the host
  asks for them by the values.
  """

  use GenServer

  alias ShapeRouter.{Circuit, Error, IngestBatch, Native, Options, ValueSet}
  alias ShapeRouter.Subqueries.{Inner, Moves, Views}

  @type t :: GenServer.server()
  @typedoc "The name of a router's table."
  @type name :: String.t() | atom()
  @type rows :: [{ShapeRouter.ViewUpdate.id(), ShapeRouter.ViewUpdate.row()}]
  @type move ::
          ValueSet.move()
          | {:move_in | :move_out, ShapeRouter.id(), [ValueSet.value()] | :all, rows()}
  @type answer :: [{ShapeRouter.id(), ShapeRouter.op()} | move()]

  defstruct circuit: nil,
            keys: %{},
            routers: %{},
            views: %{},
            shapes: %{},
            materialized: MapSet.new(),
            undo: [],
            seeded: %{},
            sequence: 0,
            acked: 0

  @defaults [tables: [], circuit: nil, routers: [], time_zone: "UTC", name: nil]

  @doc """
  Starts it. Options:

    * `:tables` - the tables that subqueries read, as in `ShapeRouter.Circuit.new/1`
    * `:circuit` - a circuit of these tables (default `nil`: a new one)
    * `:routers` - `[table: router]`, by the names of their tables. Shapes that they have already, from a
      `:data_dir` say, are taken over; make such a router with the same `:circuit`, which tells the types of
      what their subqueries select
    * `:time_zone` - see `ShapeRouter.Circuit.new/1`
    * `:name` - a name for the process
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    with {:ok, opts} <- Options.merge(opts, @defaults) do
      GenServer.start_link(__MODULE__, opts, if(opts.name, do: [name: opts.name], else: []))
    end
  end

  @doc """
  Adds a shape to a router, as `ShapeRouter.add_shape/5` does, with its subqueries. With
  `materialize: true` it answers `{:ok, rows}`, the rows that the shape has.
  """
  @spec add_shape(
          t(),
          name(),
          ShapeRouter.id(),
          String.t() | nil,
          [ShapeRouter.key()] | :unknown,
          keyword()
        ) ::
          :ok | {:ok, rows()} | {:error, Error.t()}
  def add_shape(server, name, id, where, keys \\ :unknown, opts \\ []),
    do: GenServer.call(server, {:add, Inner.name(name), id, where, keys, opts}, :infinity)

  @doc "Removes a shape, and the views that only it needed."
  @spec remove_shape(t(), name(), ShapeRouter.id()) :: :ok | {:error, Error.t()}
  def remove_shape(server, name, id),
    do: GenServer.call(server, {:remove, Inner.name(name), id}, :infinity)

  @doc """
  Routes a transaction. A change names its table, by `:table` or as a struct of `ShapeRouter.Changes`. To each
  change the answer is a list of those routers that it concerns, each with what it means there: classified
  ids, then moves.
  """
  @spec route_txn(t(), ShapeRouter.lsn(), [map()]) ::
          [[{String.t(), answer()}]] | {:error, Error.t()}
  def route_txn(server, lsn, changes),
    do: GenServer.call(server, {:route, lsn, changes}, :infinity)

  @doc "Acknowledges all transactions up to a commit LSN, in every router."
  @spec ack(t(), non_neg_integer()) :: :ok | {:error, Error.t()}
  def ack(server, lsn), do: GenServer.call(server, {:ack, lsn}, :infinity)

  @doc """
  Applies rows outside of transactions: those that the tables have when the stream of transactions begins.
  It moves nothing.
  """
  @spec load(t(), IngestBatch.t()) :: :ok | {:error, Error.t()}
  def load(server, batch), do: GenServer.call(server, {:load, batch}, :infinity)

  @doc "The circuit, for views of the host's own. It is stepped here only."
  @spec circuit(t()) :: Circuit.t()
  def circuit(server), do: GenServer.call(server, :circuit)

  @impl true
  def init(opts) do
    with {:ok, circuit} <- circuit_of(opts) do
      keys =
        Map.new(opts.tables, fn {name, table} ->
          {Inner.name(name), Enum.map(table[:primary_key], &to_string/1)}
        end)

      routers = Map.new(opts.routers, fn {name, router} -> {Inner.name(name), router} end)
      state = %__MODULE__{circuit: circuit, keys: keys, routers: routers}

      case Enum.reduce_while(routers, {:ok, state}, &take_over/2) do
        {:ok, state} -> {:ok, state}
        {:error, error} -> {:stop, error}
      end
    else
      {:error, error} -> {:stop, error}
    end
  end

  defp circuit_of(%{circuit: nil} = opts),
    do: Circuit.new(tables: opts.tables, time_zone: opts.time_zone)

  defp circuit_of(%{circuit: circuit}), do: {:ok, circuit}

  defp take_over({name, router}, {:ok, state}) do
    ShapeRouter.shapes(router)
    |> Enum.reduce_while({:ok, state}, fn id, {:ok, state} ->
      with texts when is_list(texts) <- ValueSet.subqueries(router, id),
           {:ok, state} <- open_views(state, name, texts, & &1),
           {:ok, state} <- seed(state, name, texts) do
        {:cont, {:ok, use_views(state, {name, id}, texts)}}
      else
        error -> {:halt, error}
      end
    end)
    |> case do
      {:ok, state} -> {:cont, {:ok, state}}
      error -> {:halt, error}
    end
  end

  @impl true
  def handle_call({:add, name, id, where, keys, opts}, _from, state) do
    {materialize, opts} = Keyword.pop(opts, :materialize, false)

    with {:ok, router} <- router(state, name),
         {:ok, texts} <- Views.of_clause(where, opts[:params] || []),
         place = &Views.in_clause(&1, where, opts[:params] || [], &2, name),
         {:ok, opened} <- open_views(state, name, texts, place),
         {:ok, rows} <-
           or_close(opened, texts, fn -> rows(opened, name, id, where, opts, materialize) end),
         :ok <-
           or_close(opened, texts, fn ->
             added = ShapeRouter.add_shape(router, id, where, keys, opts)

             if added != :ok and materialize,
               do: Circuit.unregister(state.circuit, shape(name, id))

             added
           end),
         {:ok, state} <- seed(opened, name, texts) do
      state = use_views(state, {name, id}, texts)

      state =
        if materialize,
          do: update_in(state.materialized, &MapSet.put(&1, {name, id})),
          else: state

      {:reply, if(materialize, do: {:ok, rows}, else: :ok), state}
    else
      error -> {:reply, error, state}
    end
  end

  def handle_call({:remove, name, id}, _from, state) do
    with {:ok, router} <- router(state, name),
         :ok <- ShapeRouter.remove_shape(router, id) do
      Circuit.unregister(state.circuit, shape(name, id))
      {texts, shapes} = Map.pop(state.shapes, {name, id}, [])
      materialized = MapSet.delete(state.materialized, {name, id})
      state = %{state | shapes: shapes, materialized: materialized}
      {:reply, :ok, Enum.reduce(texts, state, &leave_view(&2, &1, {name, id}))}
    else
      error -> {:reply, error, state}
    end
  end

  def handle_call({:route, lsn, changes}, _from, state) do
    with {:ok, place} <- place(lsn),
         {:ok, state} <- take_back(state, place) do
      case transaction(state, lsn, place, changes) do
        {:ok, answers, state} ->
          {:reply, answers, state}

        {error, state} ->
          {:ok, state} = take_back(state, place)
          {:reply, error, state}
      end
    else
      error -> {:reply, error, state}
    end
  end

  def handle_call({:ack, lsn}, _from, state) do
    acked =
      Enum.reduce_while(state.routers, :ok, fn {_name, router}, :ok ->
        case ShapeRouter.ack(router, lsn) do
          :ok -> {:cont, :ok}
          error -> {:halt, error}
        end
      end)

    case acked do
      :ok ->
        undo = Enum.reject(state.undo, fn {{of, _fragment}, _entry} -> of <= lsn end)
        {:reply, :ok, %{state | undo: undo, acked: max(state.acked, lsn)}}

      error ->
        {:reply, error, state}
    end
  end

  def handle_call({:load, batch}, _from, state) do
    with {:ok, updates} <- Circuit.step(state.circuit, batch),
         :ok <- feed(state, deltas(state, updates)) do
      {:reply, :ok, state}
    else
      error -> {:reply, error, state}
    end
  end

  def handle_call(:circuit, _from, state), do: {:reply, state.circuit, state}

  # Views

  defp open_views(state, name, texts, place) do
    Enum.reduce_while(texts, {:ok, state}, fn text, {:ok, state} ->
      case open_view(state, text) do
        {:ok, state} ->
          types = state.views[text].columns |> Enum.map(&elem(&1, 1))
          :ok = Native.router_item_types(state.routers[name], text, types)
          {:cont, {:ok, state}}

        {:error, error} ->
          Enum.each(texts, &close_unused(state, &1))
          {:halt, {:error, if(is_function(place, 2), do: place.(error, text), else: error)}}
      end
    end)
  end

  defp open_view(state, text) when is_map_key(state.views, text), do: {:ok, state}

  defp open_view(state, text) do
    with {:ok, columns, _rows} <- Views.register(state.circuit, text) do
      view = %{columns: columns, shapes: MapSet.new()}
      {:ok, put_in(state.views[text], view)}
    end
  end

  # What came with a shape that is refused goes with it.
  defp or_close(state, texts, add) do
    case add.() do
      {:error, _} = error ->
        Enum.each(texts, &close_unused(state, &1))
        error

      other ->
        other
    end
  end

  defp close_unused(state, text) do
    case state.views do
      %{^text => %{shapes: shapes}} ->
        if MapSet.size(shapes) == 0, do: Circuit.unregister(state.circuit, Views.id(text))

      _ ->
        :ok
    end
  end

  defp use_views(state, shape, texts) do
    state = put_in(state.shapes[shape], texts)

    Enum.reduce(texts, state, fn text, state ->
      update_in(state.views[text].shapes, &MapSet.put(&1, shape))
    end)
  end

  defp leave_view(state, text, shape) do
    state = update_in(state.views[text].shapes, &MapSet.delete(&1, shape))

    if MapSet.size(state.views[text].shapes) == 0 do
      Circuit.unregister(state.circuit, Views.id(text))
      %{state | views: Map.delete(state.views, text)}
    else
      state
    end
  end

  defp seed(state, name, texts) do
    router = state.routers[name]
    unready = for %{ready: false, subquery: text} <- ValueSet.list(router), do: text

    Enum.reduce_while(texts, {:ok, state}, fn text, {:ok, state} ->
      with true <- text in unready,
           {:ok, rows} <- Views.rows(state.circuit, text),
           :ok <- ValueSet.seed(router, text, rows) do
        # What is staged is in it.
        {:cont, {:ok, put_in(state.seeded[{name, text}], state.sequence)}}
      else
        false -> {:cont, {:ok, state}}
        error -> {:halt, error}
      end
    end)
  end

  defp rows(_state, _name, _id, _where, _opts, false), do: {:ok, []}

  defp rows(state, name, id, where, opts, true) do
    table = name |> String.split(".") |> Enum.map_join(".", &quoted/1)
    # A clause may end with a comment, which the line's end ends.
    sql = "SELECT * FROM #{table}" <> if(where, do: " WHERE (#{where}\n)", else: "")
    opts = [format: :streaming, params: opts[:params] || []]

    with {:ok, update} <- Circuit.register(state.circuit, shape(name, id), sql, opts),
         do: {:ok, for(record <- update.records, do: {record.id, record.record})}
  end

  defp quoted(name), do: ~s("#{String.replace(name, ~s("), ~s(""))}")

  defp shape(name, id), do: "shape #{name}/#{id}"

  defp router(state, name) do
    case state.routers do
      %{^name => router} -> {:ok, router}
      _ -> Error.argument("there is no router of a table #{inspect(name)}")
    end
  end

  # Transactions

  defp place(lsn) when is_integer(lsn) and lsn >= 0, do: {:ok, {lsn, 0}}

  defp place({lsn, fragment}) when is_integer(lsn) and is_integer(fragment),
    do: {:ok, {lsn, fragment}}

  defp place({lsn, fragment, _xid}), do: place({lsn, fragment})
  defp place(other), do: Error.argument("not a transaction's LSN: #{inspect(other)}")

  # Undoes this transaction and all later ones, the last one first.
  defp take_back(%{undo: [{place, entry} | undo]} = state, from) when place >= from do
    with {:ok, updates} <- Inner.step(state.circuit, entry.operations) do
      # Sets that were seeded since then have it as a part of themselves.
      seeded = for {key, at} <- state.seeded, at >= entry.sequence, do: key

      for {text, added, removed} <- deltas(state, updates), {name, ^text} <- seeded do
        :ok = fed(ValueSet.remove(state.routers[name], text, removed))
        :ok = fed(ValueSet.add(state.routers[name], text, added))
      end

      take_back(%{state | undo: undo}, from)
    end
  end

  defp take_back(state, _from), do: {:ok, state}

  defp transaction(state, lsn, {number, _fragment} = place, changes) do
    replay? = number <= state.acked

    result =
      changes
      |> Enum.with_index()
      |> Enum.reduce_while({:ok, [], state}, fn {change, index}, {:ok, done, state} ->
        case change(state, place, change, replay?) do
          {:ok, deltas, rows, state} ->
            {:cont, {:ok, [{change, deltas, rows} | done], state}}

          {{:error, error}, state} ->
            {:halt, {{:error, %{error | message: "change #{index}: #{error.message}"}}, state}}
        end
      end)

    with {:ok, done, state} <- result do
      case Moves.route(state, lsn, Enum.reverse(done)) do
        {:error, _} = error -> {error, state}
        answers -> {:ok, answers, state}
      end
    end
  end

  defp change(state, place, change, replay?) do
    table = Inner.table(change)

    case state.keys do
      %{^table => key} when not replay? -> inner(state, place, table, key, change)
      _ -> {:ok, [], %{}, state}
    end
  end

  defp inner(state, place, table, key, change) do
    with {:ok, operations, undo} <- Inner.operations(state.circuit, table, key, change),
         {:ok, updates} <- Inner.step(state.circuit, operations) do
      deltas = deltas(state, updates)
      sequence = state.sequence + 1
      entry = %{operations: undo, sequence: sequence}
      state = %{state | undo: [{place, entry} | state.undo], sequence: sequence}
      {:ok, deltas, Moves.of_views(updates), state}
    else
      error -> {error, state}
    end
  end

  # What a step did to subqueries.
  defp deltas(state, updates) do
    for %{view_id: view, records: records} <- updates,
        {:subquery, text} <- [Views.owner(view)],
        %{columns: columns} <- [state.views[text]] do
      {text, Views.values(records, columns, :created), Views.values(records, columns, :deleted)}
    end
  end

  defp feed(state, deltas) do
    for(
      {_name, router} <- state.routers,
      {text, added, removed} <- deltas,
      do: {router, text, added, removed}
    )
    |> Enum.reduce_while(:ok, fn {router, text, added, removed}, :ok ->
      with :ok <- fed(ValueSet.remove(router, text, removed)),
           :ok <- fed(ValueSet.add(router, text, added)),
           do: {:cont, :ok},
           else: (error -> {:halt, error})
    end)
  end

  # A subquery that this router has no shape with.
  defp fed({:error, %Error{code: :unknown_set}}), do: :ok
  defp fed(other), do: other
end
