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

  alias ShapeRouter.Collector.{Directory, Server, Tables, Waiters}
  alias ShapeRouter.{Error, Options, ShapeLog}

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

  @doc "As `GenServer`'s: a worker of a supervisor, started by `start_link/1`."
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts), do: %{id: __MODULE__, start: {__MODULE__, :start_link, [opts]}}

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
      GenServer.start_link(Server, opts, if(opts.name, do: [name: opts.name], else: []))
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
end
