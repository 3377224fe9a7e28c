defmodule ShapeRouter.ShapeLogCollector do
  @moduledoc """
  Takes transactions, routes them, and hands each shape its log entries.

      {:ok, collector} =
        ShapeRouter.ShapeLogCollector.start_link(
          tables: [{"public.todos", columns: [id: :int8, user_id: :int8], primary_key: [:id]}]
        )

      :ok = ShapeRouter.ShapeLogCollector.add_shape(collector, 1, {"public.todos", "user_id = 5"}, keys: [])
      :ok = ShapeRouter.ShapeLogCollector.subscribe(collector, 1)
      :ok = ShapeRouter.ShapeLogCollector.handle_transaction(collector, transaction)

  Subscribers receive `{:shape_router, shape_id, entries}` for each transaction (or fragment of a large
  one) that concerns the shape. An entry is

      %{offset: {lsn, position}, op: op, change: change}

  with the change as it was in the transaction and `op` as `ShapeRouter.route/3` answers it. Offsets
  strictly ascend within a shape.

  A transaction's changes of one table are routed in one call; its effects on membership become real
  when its last fragment is handled. A transaction that ended before the last one handled is not
  delivered again.
  """

  use GenServer

  alias ShapeRouter.Changes.{Relation, Transaction}
  alias ShapeRouter.{Error, Options}

  @type table :: String.t()
  @type entry :: %{
          offset: {non_neg_integer(), non_neg_integer()},
          op: ShapeRouter.op(),
          change: ShapeRouter.Changes.change()
        }

  @doc """
  Starts a collector. Options:

    * `:tables` - `[{"schema.table", opts}]` with the options of `ShapeRouter.new/3` (required)
    * `:tenant` - the tenant that the routers are named for (default `"default"`)
    * `:name` - as in `GenServer.start_link/3`
  """
  @spec start_link(keyword()) :: GenServer.on_start() | {:error, Error.t()}
  def start_link(opts) do
    with {:ok, opts} <- Options.merge(opts, tables: [], tenant: "default", name: nil) do
      GenServer.start_link(__MODULE__, opts, if(opts.name, do: [name: opts.name], else: []))
    end
  end

  @doc """
  Adds a shape: `{table, where}`, with the options of `ShapeRouter.add_shape/5` and `:keys`.
  """
  @spec add_shape(GenServer.server(), ShapeRouter.id(), {table(), String.t() | nil}, keyword()) ::
          :ok | {:error, Error.t()}
  def add_shape(collector, id, {_table, _where} = shape, opts \\ []) do
    GenServer.call(collector, {:add_shape, id, shape, opts}, :infinity)
  end

  @doc "Removes a shape; its subscribers hear nothing of it any more."
  @spec remove_shape(GenServer.server(), ShapeRouter.id()) :: :ok | {:error, Error.t()}
  def remove_shape(collector, id), do: GenServer.call(collector, {:remove_shape, id}, :infinity)

  @doc "Sends the caller the entries of a shape, or of all shapes (`:all`), until it ends."
  @spec subscribe(GenServer.server(), ShapeRouter.id() | :all) :: :ok | {:error, Error.t()}
  def subscribe(collector, id), do: GenServer.call(collector, {:subscribe, id, self()}, :infinity)

  @doc """
  Routes a transaction (or the next fragment of one) and tells the subscribers. When it returns `:ok`
  for the last fragment, the transaction may be acknowledged to PostgreSQL.
  """
  @spec handle_transaction(GenServer.server(), Transaction.t()) :: :ok | {:error, Error.t()}
  def handle_transaction(collector, %_{changes: _, lsn: _} = transaction) do
    GenServer.call(collector, {:transaction, transaction}, :infinity)
  end

  @doc "The router of a table: for `ShapeRouter.metrics/1` and the like."
  @spec router(GenServer.server(), table()) :: {:ok, ShapeRouter.t()} | {:error, Error.t()}
  def router(collector, table), do: GenServer.call(collector, {:router, table})

  @impl GenServer
  def init(opts) do
    Enum.reduce_while(opts.tables, {:ok, %{}}, fn {table, table_opts}, {:ok, routers} ->
      case ShapeRouter.new(opts.tenant, table, table_opts) do
        {:ok, router} -> {:cont, {:ok, Map.put(routers, name(table), router)}}
        {:error, error} -> {:halt, {:stop, error}}
      end
    end)
    |> case do
      {:ok, routers} ->
        {:ok, %{routers: routers, tables: %{}, subscribers: %{}, monitors: %{}, handled: 0}}

      stop ->
        stop
    end
  end

  @impl GenServer
  def handle_call({:add_shape, id, {table, where}, opts}, _from, state) do
    {keys, opts} = Keyword.pop(opts, :keys, :unknown)

    with :ok <- free(state, id),
         {:ok, router} <- find_router(state, table),
         :ok <- ShapeRouter.add_shape(router, id, where, keys, opts) do
      {:reply, :ok, put_in(state.tables[id], name(table))}
    else
      {:error, error} -> {:reply, {:error, error}, state}
    end
  end

  def handle_call({:remove_shape, id}, _from, state) do
    case Map.pop(state.tables, id) do
      {nil, _} ->
        {:reply, {:error, %Error{code: :unknown_shape, message: "there is no shape #{id}"}},
         state}

      {table, tables} ->
        subscribers = Map.delete(state.subscribers, id)
        removed = ShapeRouter.remove_shape(state.routers[table], id)
        {:reply, removed, %{state | tables: tables, subscribers: subscribers}}
    end
  end

  def handle_call({:subscribe, id, pid}, _from, state) do
    if id == :all or is_map_key(state.tables, id) do
      monitors = Map.put_new_lazy(state.monitors, pid, fn -> Process.monitor(pid) end)
      subscribers = Map.update(state.subscribers, id, [pid], &Enum.uniq([pid | &1]))
      {:reply, :ok, %{state | monitors: monitors, subscribers: subscribers}}
    else
      message = "there is no shape #{inspect(id)}"
      {:reply, {:error, %Error{code: :unknown_shape, message: message}}, state}
    end
  end

  def handle_call({:router, table}, _from, state), do: {:reply, find_router(state, table), state}

  def handle_call({:transaction, %{lsn: lsn}}, _from, %{handled: handled} = state)
      when lsn <= handled,
      do: {:reply, :ok, state}

  def handle_call({:transaction, transaction}, _from, state) do
    with {:ok, entries} <- route(state, transaction),
         :ok <- acknowledge(state, transaction) do
      tell(state, entries)
      handled = if last?(transaction), do: transaction.lsn, else: state.handled
      {:reply, :ok, %{state | handled: handled}}
    else
      {:error, error} -> {:reply, {:error, error}, state}
    end
  end

  @impl GenServer
  def handle_info({:DOWN, _ref, :process, pid, _reason}, state) do
    subscribers =
      for {id, pids} <- state.subscribers, pids = List.delete(pids, pid), pids != [], into: %{} do
        {id, pids}
      end

    {:noreply, %{state | subscribers: subscribers, monitors: Map.delete(state.monitors, pid)}}
  end

  def handle_info(_other, state), do: {:noreply, state}

  # Entries by shape, each shape's in the order of the transaction.
  defp route(state, transaction) do
    fragment = Map.get(transaction, :fragment) || 0
    place = {transaction.lsn, fragment, Map.get(transaction, :xid)}

    transaction.changes
    |> Enum.with_index(fn change, index -> {change, offset(transaction.lsn, fragment, index)} end)
    |> Enum.group_by(fn {change, _offset} -> relation(change) end)
    |> Enum.reduce_while({:ok, %{}}, fn {relation, changes}, {:ok, entries} ->
      with router when router != nil <- state.routers[relation],
           answers when is_list(answers) <-
             ShapeRouter.route_txn(router, place, Enum.map(changes, &elem(&1, 0))) do
        {:cont, {:ok, collect(changes, answers, entries)}}
      else
        # A table that no shape can be of.
        nil -> {:cont, {:ok, entries}}
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
  end

  # A change's place in its transaction, ascending over all fragments.
  defp offset(lsn, fragment, index), do: {lsn, Bitwise.bsl(fragment, 32) + index}

  defp collect(changes, answers, entries) do
    Enum.zip_reduce(changes, answers, entries, fn {change, offset}, answer, entries ->
      Enum.reduce(answer, entries, fn {id, op}, entries ->
        entry = %{offset: offset, op: op, change: change}
        Map.update(entries, id, [entry], &[entry | &1])
      end)
    end)
  end

  defp acknowledge(state, transaction) do
    if last?(transaction) do
      Enum.reduce_while(state.routers, :ok, fn {_table, router}, :ok ->
        case ShapeRouter.ack(router, transaction.lsn) do
          :ok -> {:cont, :ok}
          error -> {:halt, error}
        end
      end)
    else
      :ok
    end
  end

  defp tell(state, entries) do
    everybody = Map.get(state.subscribers, :all, [])

    for {id, reversed} <- entries do
      message = {:shape_router, id, Enum.reverse(reversed)}
      pids = Enum.uniq(everybody ++ Map.get(state.subscribers, id, []))
      Enum.each(pids, &send(&1, message))
    end
  end

  # A host's own transactions come whole.
  defp last?(transaction), do: Map.get(transaction, :last?, true) != false

  defp relation(%Relation{schema: schema, table: table}), do: {schema, table}
  defp relation(%{relation: relation}), do: relation
  defp relation(%{schema: schema, table: table}), do: {schema, table}

  defp find_router(state, table) do
    case state.routers[name(table)] do
      nil ->
        {:error, %Error{code: :unknown_table, message: "there is no table #{inspect(table)}"}}

      router ->
        {:ok, router}
    end
  end

  defp free(state, id) do
    if is_map_key(state.tables, id),
      do: {:error, %Error{code: :duplicate_shape, message: "shape #{id} exists already"}},
      else: :ok
  end

  defp name({_schema, _table} = name), do: name

  defp name(table) do
    case String.split(table, ".", parts: 2) do
      [table] -> {"public", table}
      [schema, table] -> {schema, table}
    end
  end
end
