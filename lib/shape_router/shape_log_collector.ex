defmodule ShapeRouter.ShapeLogCollector do
  @moduledoc """
  The write path: takes transactions, routes them, logs what belongs to each shape, and tells whoever
  subscribed.

      {:ok, collector} =
        ShapeRouter.ShapeLogCollector.start_link(
          storage_dir: "data",
          tables: [{"public.todos", columns: [id: :int8, user_id: :int8], primary_key: [:id]}]
        )

      :ok = ShapeRouter.ShapeLogCollector.add_shape(collector, 1, {"public.todos", "user_id = 5"}, keys: [])
      :ok = ShapeRouter.ShapeLogCollector.subscribe(collector, 1)
      :ok = ShapeRouter.ShapeLogCollector.handle_transaction(collector, transaction)

  ## One durable point

  What a transaction adds to the logs, what it does to the shapes' rows, and the shapes that come and go
  are one record of one log in `:storage_dir`, made durable by one fsync, which transactions that come
  meanwhile share. Only then is the transaction acknowledged, are caches fed and subscribers told. After
  a crash everything stands at the same transaction: what PostgreSQL sends again is answered as it was
  the first time, and nothing is lost or logged twice.

  Without `:storage_dir` nothing is kept: transactions are routed and told.

  ## Where transactions come from

  Either from the host, by `handle_transaction/2`, or from a `ShapeRouter.Source.Postgres` whose
  `:subscriber` the collector is. From there the next ones are taken while the last are made durable, and
  PostgreSQL is told what is durable. When the disk is slow, transactions are taken more slowly.

  ## What subscribers hear

  `{:shape_router, shape_id, entries}` for each transaction (or fragment of a large one) that concerns
  the shape. An entry is

      %{offset: {lsn, position}, op: op, change: change}

  with the change as it was in the transaction and `op` as `ShapeRouter.route/3` answers it. Offsets
  strictly ascend within a shape; positions within a transaction are even numbers, because a row that
  gets another key is two entries of a log.

  ## Shapes with subqueries

  `add_shape(collector, 1, {"todos", "project_id IN (SELECT id FROM projects WHERE owner_id = 5)"})`: such a shape
  is a view of a `ShapeRouter.Circuit` that the collector owns, with all rows of the tables that it uses, which come by
  `:load_rows`. Entries of its log are the view's changes: `:insert`, `:update` with the whole row, `:delete`.
  `docs/serving.md` says what holds for tables, restarts and errors.

  ## Rows that the WAL does not carry whole

  A row that enters a shape without a large column that did not change (`{:insert, missing: [column]}`), or
  may enter so (`:upsert`), that gets another key so (`:rekey`), or of which it cannot be told whether it
  belongs (`:unknown`), is read from the database by `:read_rows` before it is logged (under the full
  replica identity, the old row has it):

      read_rows: fn {schema, table}, keys, columns -> {:ok, [row]} | {:error, reason} end

  `keys` are maps of the primary key's columns, `columns` those that are asked for (`:all`: all of them), a
  row a map of its columns' text. What comes later in the WAL brings such a row up to date. Transactions
  of a `ShapeRouter.Source.Postgres` are completed by its `ShapeRouter.Source.Postgres.read_rows/1` without
  saying so. Where nothing can be read (`read_rows: nil`; transactions of the host without a function; a table
  that was dropped or altered since), an entry lacks the columns, and `:unknown` is logged as it is.
  """

  use GenServer

  require Logger

  alias ShapeRouter.Collector.{
    Added,
    Directory,
    LogStore,
    Missing,
    Tables,
    Transaction,
    Views,
    Waiters
  }

  alias ShapeRouter.{Error, Options, ShapeLog, Source}

  @type table :: String.t() | {String.t(), String.t()}
  @type entry :: %{
          offset: {non_neg_integer(), non_neg_integer()},
          op: ShapeRouter.op(),
          change: ShapeRouter.Changes.change()
        }

  @defaults [
    tables: [],
    tenant: "default",
    name: nil,
    storage_dir: nil,
    read_rows: :source,
    load_rows: :source
  ]

  # How often what the routers wrote is made durable in their own directories too.
  @sync_ms 5_000

  # How long a directory may be held by whoever had it before.
  @unlock_tries 50
  @unlock_ms 100

  @doc """
  Starts a collector. Options:

    * `:tables` - `[{"schema.table", opts}]` with the options of `ShapeRouter.new/3` (required)
    * `:tenant` - the tenant that the routers are named for (default `"default"`)
    * `:name` - as in `GenServer.start_link/3`
    * `:storage_dir` - where logs are kept (default `nil`: nowhere). One collector at a time
    * `:fsync` - `:always` (default), `{:interval, ms}` or `:never`, as for `ShapeRouter.new/3`; with
      `{:interval, ms}` transactions wait for the next one, so nothing acknowledged is lost either
    * `:chunk_bytes_threshold` - bytes of JSON in a chunk (default 10,485,760)
    * `:operation_cache_max_operations` - of a shape (default 1000)
    * `:operation_cache_ttl_ms` - how long an operation is cached (default 60,000)
    * `:operation_cache_total_bytes` - of all shapes together (default 67,108,864)
    * `:flush_period` - milliseconds until entries in memory are written to their own files (default 1000)
    * `:compaction_period` - milliseconds between looks for what can be compacted (default 600,000)
    * `:keep_complete_chunks` - the newest chunks of a shape that are never compacted (default 2)
    * `:gzip` - whether chunks are also kept compressed (default `false`)
    * `:load_rows` - `fn {schema, table} -> {:ok, snapshot, rows} | {:error, reason}`: all rows of a table, for shapes
      with subqueries; or `:source` (default): those of the source, once it is known
    * `:read_rows` - see above: a function, `nil`, or `:source` (default): that of the source, where there is one
  """
  @spec start_link(keyword()) :: GenServer.on_start() | {:error, Error.t()}
  def start_link(opts) do
    with {:ok, opts} <- Options.merge(opts, ShapeLog.defaults() ++ @defaults) do
      GenServer.start_link(__MODULE__, opts, if(opts.name, do: [name: opts.name], else: []))
    end
  end

  @doc """
  Adds a shape: `{table, where}`, with the options of `ShapeRouter.add_shape/5` (with a subquery in the clause only
  `:params` and `:descriptor`) and

    * `:keys` - of the rows that it holds, as for `ShapeRouter.add_shape/5`
    * `:rows` - the rows themselves, as maps: an enumerable, of which nothing is kept in memory. They become
      what is served before the first entry of the log. `:keys` are theirs then; with `keys: :unknown` the
      router is not told which they are
    * `:params` - the values of `$1`, `$2` ...
    * `:descriptor` - any term, kept with the shape; see `shape/2`
  """
  @spec add_shape(GenServer.server(), ShapeRouter.id(), {table(), String.t() | nil}, keyword()) ::
          :ok | {:error, Error.t()}
  def add_shape(collector, id, {_table, _where} = shape, opts \\ []) do
    add_shapes(collector, [{id, shape, opts}])
  end

  @doc """
  Adds many shapes, each `{id, {table, where}}` or `{id, {table, where}, opts}` as for `add_shape/4`: all of
  them, or none; made durable together.
  """
  @spec add_shapes(GenServer.server(), [tuple()]) :: :ok | {:error, Error.t()}
  def add_shapes(collector, shapes) when is_list(shapes),
    do: GenServer.call(collector, {:add_shapes, shapes}, :infinity)

  @doc "Removes a shape and its log; its subscribers hear nothing of it any more."
  @spec remove_shape(GenServer.server(), ShapeRouter.id()) :: :ok | {:error, Error.t()}
  def remove_shape(collector, id), do: GenServer.call(collector, {:remove_shape, id}, :infinity)

  @doc "Sends the caller the entries of a shape, or of all shapes (`:all`), until it ends."
  @spec subscribe(GenServer.server(), ShapeRouter.id() | :all) :: :ok | {:error, Error.t()}
  def subscribe(collector, id), do: GenServer.call(collector, {:subscribe, id, self()}, :infinity)

  @doc """
  Routes a transaction (or the next fragment of one), logs it, and tells the subscribers. When it returns
  `:ok` for the last fragment, the transaction is durable and may be acknowledged to PostgreSQL. One
  that ended before the last one handled is not logged again.
  """
  @spec handle_transaction(GenServer.server(), ShapeRouter.Changes.Transaction.t()) ::
          :ok | {:error, Error.t()}
  def handle_transaction(collector, %_{changes: _, lsn: _} = transaction) do
    GenServer.call(collector, {:transaction, transaction}, :infinity)
  end

  @doc "The router of a table: for `ShapeRouter.metrics/1` and the like."
  @spec router(GenServer.server(), table()) :: {:ok, ShapeRouter.t()} | {:error, Error.t()}
  def router(collector, table), do: GenServer.call(collector, {:router, table}, :infinity)

  @doc "The LSN up to which everything is handled, and durable where there is a `:storage_dir`."
  @spec durable_lsn(GenServer.server()) :: non_neg_integer()
  def durable_lsn(collector), do: GenServer.call(collector, :durable_lsn, :infinity)

  @doc "The ids of the shapes, ascending. Asks nobody."
  @spec shapes(GenServer.server()) :: [ShapeRouter.id()]
  def shapes(collector) do
    case Directory.of(collector) do
      {:ok, shapes} -> shapes |> :ets.select([{{{:id, :"$1"}, :_}, [], [:"$1"]}]) |> Enum.sort()
      :error -> []
    end
  end

  @doc """
  A shape: its `table`, `where`, `handle` (which names this log of it), `log` for `ShapeRouter.ShapeLog`
  and `descriptor`. Asks nobody.
  """
  @spec shape(GenServer.server(), ShapeRouter.id()) ::
          {:ok, Directory.shape()} | {:error, Error.t()}
  def shape(collector, id) do
    with {:ok, shapes} <- directory(collector),
         :error <- Directory.get(shapes, id) do
      unknown_shape(id)
    end
  rescue
    # The collector ended in between.
    ArgumentError -> closed(collector)
  end

  @doc "The shape with exactly this table and clause; of several, the one of the lowest id. Asks nobody."
  @spec find_shape(GenServer.server(), table(), String.t() | nil) ::
          {:ok, Directory.shape()} | {:error, Error.t()}
  def find_shape(collector, table, where) do
    with {:ok, shapes} <- directory(collector),
         :error <- Directory.find(shapes, Tables.name(table), where) do
      clause = if where, do: "with the clause #{inspect(where)}", else: "without a clause"
      message = "there is no shape of #{inspect(table)} #{clause}"
      {:error, %Error{code: :unknown_shape, message: message}}
    end
  rescue
    ArgumentError -> closed(collector)
  end

  @doc """
  Waits until there is something of a shape after this offset, at most so many milliseconds.
  """
  @spec await(GenServer.server(), ShapeRouter.id(), ShapeLog.offset(), non_neg_integer()) ::
          :changed | :removed | :timeout
  def await(collector, id, offset, timeout) do
    with {:ok, shapes} <- directory(collector),
         {:ok, shape} <- Directory.get(shapes, id),
         [{_, waiters}] <- :ets.lookup(shapes, :waiters) do
      Waiters.wait(waiters, id, timeout, fn -> ShapeLog.newest(shape.log) > offset end)
    else
      _ -> :removed
    end
  rescue
    ArgumentError -> :removed
  end

  defp directory(collector) do
    with :error <- Directory.of(collector), do: closed(collector)
  end

  defp closed(collector) do
    {:error, %Error{code: :closed, message: "the collector #{inspect(collector)} is not there"}}
  end

  defp unknown_shape(id) do
    {:error, %Error{code: :unknown_shape, message: "there is no shape #{inspect(id)}"}}
  end

  @impl GenServer
  def init(opts) do
    # So that the store is closed, whoever stops it.
    Process.flag(:trap_exit, true)

    with {:ok, store, tables} <- open(opts, @unlock_tries),
         shapes = Directory.new(),
         waiters = Waiters.new(),
         {:ok, tables, views} <- restore(store, tables, shapes, opts) do
      true = :ets.insert(shapes, {:waiters, waiters})
      if store, do: Process.send_after(self(), :sync, @sync_ms)

      {:ok,
       %{
         tables: tables,
         views: views,
         store: store,
         shapes: shapes,
         waiters: waiters,
         read_rows: opts.read_rows,
         subscribers: %{},
         monitors: %{},
         # The last transaction that was taken, and the last one that is durable.
         handled: if(store, do: LogStore.durable_lsn(store), else: 0),
         durable: if(store, do: LogStore.durable_lsn(store), else: 0),
         pending: :queue.new(),
         # Of the transaction whose last fragment is still to come.
         open: nil,
         syncing: nil,
         # How many operations had left the caches when this was last told.
         evictions: 0
       }}
    else
      {:error, error} -> {:stop, error}
    end
  end

  # The directory of a collector that was killed is given back a moment later; whoever restarts it does so
  # at once.
  defp open(opts, tries) do
    with {:ok, store, records} <- open_store(opts) do
      case Tables.open(opts.tables, opts.tenant, store && {opts.storage_dir, store}, records) do
        {:ok, tables} ->
          {:ok, store, tables}

        {:error, error} ->
          if store, do: LogStore.close(store)
          {:error, error}
      end
    end
    |> case do
      {:error, %Error{code: :locked}} when tries > 0 ->
        Process.sleep(@unlock_ms)
        open(opts, tries - 1)

      result ->
        result
    end
  end

  defp open_store(%{storage_dir: nil}), do: {:ok, nil, []}
  defp open_store(opts), do: LogStore.open(opts)

  defp restore(nil, tables, _shapes, opts),
    do: {:ok, tables, Views.new(opts.tables, tables, nil, opts.load_rows)}

  defp restore(store, tables, shapes, opts) do
    with {:ok, all, begun} <- LogStore.logs(store),
         :ok <- known_tables(all, tables),
         {own, all} = Enum.split_with(all, fn {_, stored} -> is_map_key(stored, :circuit) end),
         {viewed, logs} = Enum.split_with(all, fn {_, stored} -> is_map_key(stored, :view) end),
         tables = reconcile(store, tables, logs, begun),
         views = Views.new(opts.tables, tables, store, opts.load_rows),
         {:ok, views, dropped} <- Views.restore(views, own, viewed) do
      live =
        for {_, table} <- tables,
            id <- ShapeRouter.shapes(table.router),
            into: MapSet.new(),
            do: id

      for {id, stored} <- logs ++ viewed, id in live or Views.has?(views, id) do
        Directory.put(shapes, shape(id, stored, tables[stored.table], store))
      end

      for {id, error} <- dropped do
        log_dropped(id, error)
        :ok = LogStore.remove(store, id)
      end

      # What it does not need any more is gone for good.
      if own != [] or dropped != [], do: :ok = LogStore.keep(store, [])
      {:ok, tables, views}
    end
  end

  defp known_tables(logs, tables) do
    case Enum.find(logs, fn {_, stored} -> not is_map_key(tables, stored.table) end) do
      nil ->
        :ok

      {id, stored} ->
        message = "shape #{id} is of #{Tables.text(stored.table)}, which is not among the tables"
        {:error, %Error{code: :mismatch, message: message}}
    end
  end

  defp log_dropped(id, error) do
    Logger.error("shape #{id} is removed, and clients begin anew: #{Exception.message(error)}")
  end

  # A crash came between a log and its shape: nobody was told of the two.
  defp reconcile(store, tables, logs, begun) do
    logs = MapSet.new(logs, &elem(&1, 0))
    routed = for {_, table} <- tables, id <- ShapeRouter.shapes(table.router), do: {id, table}
    live = MapSet.new(routed, &elem(&1, 0))
    without_shape = begun ++ Enum.reject(logs, &(&1 in live))
    Enum.each(without_shape, fn id -> :ok = LogStore.remove(store, id) end)

    without_log =
      for {id, table} <- routed,
          id not in logs,
          do: :ok = ShapeRouter.remove_shape(table.router, id)

    if without_shape == [] and without_log == [] do
      tables
    else
      records = Tables.records(tables)
      :ok = LogStore.keep(store, records)
      Tables.release(tables, records)
    end
  end

  defp shape(id, stored, table, store) do
    stored
    |> Map.delete(:view)
    |> Map.merge(%{id: id, schema: table.schema})
    |> Map.put(:log, store && ShapeLog.of_store(store, id, stored.handle))
  end

  @impl GenServer
  def handle_call({:add_shapes, shapes}, _from, state) do
    with {:ok, shapes} <- Added.read(shapes, state.tables, state.shapes),
         {:ok, state} <- standing(state),
         {:ok, views, rows} <- Views.add(state.views, Added.views(shapes)) do
      case add(state, Added.put_rows(shapes, rows)) do
        {:ok, state} ->
          {:reply, :ok, %{state | views: views}}

        {:error, error} ->
          views = Views.remove(views, Map.keys(rows))
          {:reply, {:error, error}, %{state | views: views}}
      end
    else
      {:error, error} -> {:reply, {:error, error}, state}
      {:error, error, views} -> {:reply, {:error, error}, %{state | views: views}}
    end
  end

  def handle_call({:remove_shape, id}, _from, state) do
    case Directory.get(state.shapes, id) do
      :error -> {:reply, unknown_shape(id), state}
      {:ok, shape} -> remove(state, shape)
    end
  end

  def handle_call({:subscribe, id, pid}, _from, state) do
    if id == :all or Directory.get(state.shapes, id) != :error do
      monitors = Map.put_new_lazy(state.monitors, pid, fn -> Process.monitor(pid) end)
      subscribers = Map.update(state.subscribers, id, [pid], &Enum.uniq([pid | &1]))
      {:reply, :ok, %{state | monitors: monitors, subscribers: subscribers}}
    else
      {:reply, unknown_shape(id), state}
    end
  end

  def handle_call({:router, table}, _from, state) do
    with {:ok, table} <- find_table(state, table) do
      {:reply, {:ok, table.router}, state}
    else
      error -> {:reply, error, state}
    end
  end

  def handle_call(:durable_lsn, _from, state), do: {:reply, state.durable, state}

  def handle_call({:transaction, transaction}, from, state) do
    case take(state, transaction, {:reply, from}) do
      {:ok, state} -> {:noreply, state}
      {:error, error} -> {:reply, {:error, error}, state}
      {:behind, error, views} -> {:reply, {:error, error}, %{state | views: views}}
    end
  end

  @impl GenServer
  def handle_info({:shape_router_source, source, {:transaction, transaction}}, state) do
    with {:ok, state} <- reading_from(state, source),
         {:ok, state} <- take(state, transaction, {:acknowledge, source}) do
      # The next one comes while this one is made durable.
      :ok = Source.Postgres.ready(source)
      {:noreply, state}
    else
      {:error, error} -> {:stop, error, state}
      {:behind, error, _views} -> {:stop, error, state}
    end
  end

  # A fragment that is taken again follows.
  def handle_info({:shape_router_source, _source, :reconnected}, state), do: {:noreply, state}

  def handle_info({:shape_router_source, _source, {:stopped, error}}, state) when error != nil,
    do: {:stop, {:source_stopped, error}, state}

  def handle_info({:shape_router_source, source, _event}, state) do
    case reading_from(state, source) do
      {:ok, state} -> {:noreply, state}
      {:error, error} -> {:stop, error, state}
    end
  end

  def handle_info({:shape_log, {:durable, lsn}}, state), do: {:noreply, settle(state, lsn)}

  def handle_info({:shape_log, {:failed, message}}, state) do
    # Nothing more is accepted; a restart finds what is durable.
    {:stop, %Error{code: :failed, message: message}, state}
  end

  def handle_info({:shape_log, event}, state) do
    ShapeLog.tell(event)
    {:noreply, state}
  end

  def handle_info(:sync, %{syncing: nil} = state) do
    Waiters.sweep(state.waiters)
    %{tables: tables, store: store} = state
    evictions = LogStore.evictions(store)
    LogStore.tell_evicted(evictions - state.evictions)
    # An fsync must not keep transactions waiting.
    {_, ref} = spawn_monitor(fn -> LogStore.forget(store, Tables.sync(tables)) end)
    {:noreply, %{state | syncing: ref, evictions: evictions}}
  end

  def handle_info({:DOWN, ref, :process, _, reason}, %{syncing: ref} = state) do
    if reason == :normal do
      Process.send_after(self(), :sync, @sync_ms)
      {:noreply, %{state | syncing: nil}}
    else
      {:stop, {:sync_failed, reason}, state}
    end
  end

  def handle_info({:DOWN, _ref, :process, pid, _reason}, state) do
    subscribers =
      for {id, pids} <- state.subscribers, pids = List.delete(pids, pid), pids != [], into: %{} do
        {id, pids}
      end

    {:noreply, %{state | subscribers: subscribers, monitors: Map.delete(state.monitors, pid)}}
  end

  def handle_info({:EXIT, _pid, :normal}, state), do: {:noreply, state}
  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}
  def handle_info(_other, state), do: {:noreply, state}

  @impl GenServer
  def terminate(_reason, %{store: nil}), do: :ok

  def terminate(_reason, state) do
    # What is durable is there without this too; it makes the next start quick.
    _ = LogStore.close(state.store)
    for {_, table} <- state.tables, do: ShapeRouter.close(table.router)
    :ok
  end

  # Shapes

  # A log is there before its shape, and both before either is told to anybody: a crash in between leaves
  # one without the other, and the next start removes that (`reconcile/3`).
  defp add(%{store: nil} = state, shapes) do
    with {:ok, shapes} <- Added.write_rows(nil, shapes),
         :ok <- Added.to_routers(shapes) do
      Enum.each(shapes, &Directory.put(state.shapes, shape(&1.id, &1.stored, &1.table, nil)))
      {:ok, state}
    end
  end

  defp add(state, shapes) do
    with :ok <-
           LogStore.create(state.store, Enum.map(shapes, &{&1.id, &1.stored, &1.rows != nil})),
         {:ok, shapes} <- Added.write_rows(state.store, shapes),
         :ok <- Added.to_routers(shapes) do
      state = keep(state)

      Enum.each(
        shapes,
        &Directory.put(state.shapes, shape(&1.id, &1.stored, &1.table, state.store))
      )

      {:ok, state}
    else
      {:error, error} ->
        # Those that were not created are not there to be removed.
        Enum.each(shapes, &LogStore.remove(state.store, &1.id))
        {:error, error}
    end
  end

  defp remove(state, shape) do
    view? = Views.has?(state.views, shape.id)

    removed =
      if view?,
        do: :ok,
        else: ShapeRouter.remove_shape(state.tables[shape.table].router, shape.id)

    if removed == :ok do
      state = if view?, do: %{state | views: Views.remove(state.views, [shape.id])}, else: state
      {:reply, :ok, state |> forget(shape.id) |> gone(shape)}
    else
      {:reply, removed, state}
    end
  end

  defp gone(state, shape) do
    Directory.delete(state.shapes, shape)
    Waiters.tell(state.waiters, shape.id, :removed)
    %{state | subscribers: Map.delete(state.subscribers, shape.id)}
  end

  defp forget(%{store: nil} = state, _id), do: state

  defp forget(state, id) do
    :ok = LogStore.remove(state.store, id)
    keep(state)
  end

  # Makes durable what the routers hold back, and all that was written before.
  defp keep(state) do
    records = Tables.records(state.tables)
    :ok = LogStore.keep(state.store, records)
    # What was taken before is durable too, so nothing is released out of turn.
    state = settle(state, LogStore.durable_lsn(state.store))
    %{state | tables: Tables.release(state.tables, records)}
  end

  # Transactions

  # What the WAL leaves out is read from where it comes from.
  defp reading_from(%{read_rows: :source} = state, source) do
    if Source.Postgres.source?(source),
      do: reading_from(%{state | read_rows: Source.Postgres.read_rows(source)}, source),
      else: {:ok, state}
  catch
    :exit, reason -> {:error, {:source_stopped, reason}}
  end

  defp reading_from(%{views: %{load_rows: :source}} = state, source) do
    if Source.Postgres.source?(source),
      do: {:ok, put_in(state.views.load_rows, Source.Postgres.load_rows(source))},
      else: {:ok, state}
  catch
    :exit, reason -> {:error, {:source_stopped, reason}}
  end

  defp reading_from(state, _source), do: {:ok, state}

  # The circuit, made anew where the last transaction did not come to the logs.
  defp standing(%{views: %{ahead?: false}} = state), do: {:ok, state}

  defp standing(state) do
    state = keep(state)
    with {:ok, views} <- Views.stand(state.views), do: {:ok, %{state | views: views}}
  end

  defp take(%{handled: handled} = state, %{lsn: lsn} = transaction, whose) when lsn <= handled do
    # PostgreSQL, or the host, sends again what it was not told to be handled.
    if Transaction.last?(transaction),
      do: {:ok, enqueue(state, %{nothing() | lsn: lsn, after: lsn, whose: whose})},
      else: {:ok, tap(state, fn _ -> done(whose, nil) end)}
  end

  defp take(state, transaction, whose) do
    with {:ok, routed} <- Transaction.route(state.tables, transaction),
         {:ok, routed} <- Missing.complete(routed, state.read_rows),
         {:ok, state} <- standing(state) do
      # Who keeps no logs is told that a table was altered, and goes on.
      {routed, altered} = if state.store, do: Transaction.altered(routed), else: {routed, []}

      with {:ok, views, done} <- Views.take(state.views, transaction),
           dropped = Enum.uniq_by(altered ++ done.dropped, &elem(&1, 0)),
           # Nobody finds them any more when the transaction is told to be handled.
           {state, shapes} = withdraw(%{state | views: views}, dropped),
           {:ok, state} <- taken(state, transaction, routed, done, whose) do
        {:ok, drop(state, shapes)}
      else
        # The circuit may have what the logs have not.
        {:error, error} -> {:behind, error, Views.ahead(state.views)}
      end
    end
  end

  # Its answers are of the routers, of the views, and what is logged for the collector itself.
  defp taken(state, transaction, routed, done, whose) do
    routed = %{tables: routed, told: routed ++ done.told, own: done.own}

    if Transaction.last?(transaction),
      do: commit(state, transaction, routed, whose),
      else: fragment(state, transaction, routed, whose)
  end

  # Shapes that cannot be told right any more: clients begin anew.
  defp withdraw(state, dropped) do
    Enum.reduce(dropped, {state, []}, fn {id, error}, {state, shapes} ->
      log_dropped(id, error)
      {:ok, shape} = Directory.get(state.shapes, id)
      {gone(state, shape), [shape | shapes]}
    end)
  end

  defp drop(state, []), do: state

  defp drop(state, shapes) do
    for shape <- shapes do
      # Of a view it is done already.
      _ = ShapeRouter.remove_shape(state.tables[shape.table].router, shape.id)
      if state.store, do: :ok = LogStore.remove(state.store, shape.id)
    end

    if state.store, do: keep(state), else: state
  end

  # Nothing is kept, so nothing has to wait.
  defp fragment(%{store: nil} = state, transaction, routed, whose) do
    open = opened(state.open, transaction)
    touched = touched(open, routed)
    tell(state, entries(state, routed.told, transaction))
    done(whose, nil)
    {:ok, %{state | open: %{open | tables: touched}}}
  end

  defp fragment(state, transaction, routed, whose) do
    with :ok <- append(state, transaction, routed, []) do
      open = opened(state.open, transaction)

      open = %{
        open
        | tables: touched(open, routed),
          ids: MapSet.union(open.ids, Transaction.ids(routed.told)),
          entries: merge(open.entries, entries(state, routed.told, transaction)),
          appended?: open.appended? or Transaction.any?(routed.told ++ routed.own)
      }

      done(whose, nil)
      {:ok, %{state | open: open}}
    end
  end

  # The tables whose routers have something of it staged.
  defp touched(open, routed),
    do: Enum.into(routed.tables, open.tables, fn {table, _} -> table.name end)

  # The transaction that fragments came of. One that starts over is another.
  defp opened(%{lsn: lsn} = open, %{lsn: lsn} = transaction) do
    if Transaction.fragment(transaction) == 0, do: opened(nil, transaction), else: open
  end

  defp opened(_open, %{lsn: lsn}),
    do: %{lsn: lsn, tables: MapSet.new(), ids: MapSet.new(), entries: %{}, appended?: false}

  defp commit(state, transaction, routed, whose) do
    open = opened(state.open, transaction)
    touched = touched(open, routed)

    with :ok <- acknowledge(state, touched, transaction.lsn),
         records = if(state.store, do: Tables.records(state.tables), else: []),
         something? =
           open.appended? or records != [] or Transaction.any?(routed.told ++ routed.own),
         :ok <- if(something?, do: append(state, transaction, routed, records), else: :ok) do
      item = %{
        lsn: transaction.lsn,
        # What changes nothing waits for those before it only.
        after: if(something?, do: transaction.lsn, else: 0),
        records: records,
        entries: merge(open.entries, entries(state, routed.told, transaction)),
        ids: MapSet.union(open.ids, Transaction.ids(routed.told)),
        whose: whose
      }

      state = %{state | handled: transaction.lsn, open: nil}
      {:ok, enqueue(state, item)}
    end
  end

  # Its effects on the shapes' rows are real from now on, for what is routed next.
  defp acknowledge(state, touched, lsn) do
    Enum.reduce_while(touched, :ok, fn name, :ok ->
      case ShapeRouter.ack(state.tables[name].router, lsn) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  defp append(%{store: nil}, _transaction, _routed, _records), do: :ok

  defp append(state, transaction, routed, records) do
    place = {transaction.lsn, Transaction.fragment(transaction), Transaction.last?(transaction)}

    # Nothing is taken that the store has: `take/3` sees to that.
    with :replay <- LogStore.append(state.store, place, routed.told ++ routed.own, records) do
      message = "the logs have the transaction #{transaction.lsn} already"
      {:error, %Error{code: :stale_transaction, message: message}}
    end
  end

  # Only what somebody asked for is kept until it is durable.
  defp entries(%{subscribers: none}, _routed, _transaction) when none == %{}, do: %{}

  defp entries(%{subscribers: subscribers}, routed, transaction) do
    wanted? =
      if is_map_key(subscribers, :all), do: fn _ -> true end, else: &is_map_key(subscribers, &1)

    Transaction.entries(routed, transaction.lsn, wanted?)
  end

  # Both newest first.
  defp merge(before, entries), do: Map.merge(before, entries, fn _, old, new -> new ++ old end)

  defp nothing, do: %{lsn: 0, after: 0, records: [], entries: %{}, ids: [], whose: nil}

  # What waits to be durable goes in order, so that an LSN is acknowledged after all before it.
  defp enqueue(state, item) do
    state = %{state | pending: :queue.in(item, state.pending)}
    settle(state, if(state.store, do: LogStore.durable_lsn(state.store), else: item.lsn))
  end

  defp settle(state, lsn) do
    case :queue.peek(state.pending) do
      {:value, item} when item.after <= lsn ->
        state = %{
          state
          | pending: :queue.drop(state.pending),
            durable: max(state.durable, item.lsn)
        }

        state |> finish(item) |> settle(lsn)

      _ ->
        state
    end
  end

  defp finish(state, item) do
    tell(state, item.entries)
    Enum.each(item.ids, &Waiters.tell(state.waiters, &1, :changed))
    done(item.whose, item.lsn)

    if item.records == [],
      do: state,
      else: %{state | tables: Tables.release(state.tables, item.records)}
  end

  defp tell(state, entries) do
    everybody = Map.get(state.subscribers, :all, [])

    for {id, newest_first} <- entries do
      message = {:shape_router, id, Enum.reverse(newest_first)}
      pids = Enum.uniq(everybody ++ Map.get(state.subscribers, id, []))
      Enum.each(pids, &send(&1, message))
    end
  end

  defp done({:reply, from}, _lsn), do: GenServer.reply(from, :ok)
  defp done({:acknowledge, _source}, nil), do: :ok
  defp done({:acknowledge, source}, lsn), do: Source.Postgres.ack(source, lsn)

  defp find_table(state, table) do
    with nil <- state.tables[Tables.name(table)] do
      {:error, %Error{code: :unknown_table, message: "there is no table #{inspect(table)}"}}
    else
      table -> {:ok, table}
    end
  end
end
