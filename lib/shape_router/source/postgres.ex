defmodule ShapeRouter.Source.Postgres do
  @moduledoc """
  PostgreSQL's WAL as a stream of transactions.

  It creates (or reuses) a replication slot and a publication, and sends its subscriber

      {:shape_router_source, source, event}

  where `event` is one of

    * `{:started, %{lsn: lsn, snapshot: name | nil, slot_created: boolean, system_id: string}}`, once, first
    * `{:transaction, %ShapeRouter.Changes.Transaction{}}`: a committed transaction in the order of the
      WAL; a large one comes in fragments
    * `{:disconnected, reason}`: the connection is lost and will be tried again, with growing pauses
    * `:reconnected`: transactions that were not acknowledged come again; a transaction of which only
      some fragments had come starts over
    * `{:stopped, nil | error}`: the last one

  **Back-pressure**: no more fragments are sent than there are credits. `ready/2` gives more, so a
  subscriber calls it once for each transaction (or fragment) that it has dealt with. The server waits.

  **Acknowledgement**: `ack/2` says that everything up to a transaction is dealt with, for good.
  PostgreSQL is told nothing else, so what was not acknowledged comes again after a restart. While
  nothing is outstanding, the slot follows the server's position by itself.

  The session is set to what `ShapeRouter` expects: TimeZone UTC, DateStyle ISO, IntervalStyle postgres,
  bytea_output hex, extra_float_digits 1, UTF-8. The publication publishes via the partition root.

      {:ok, source} =
        ShapeRouter.Source.Postgres.start_link(
          connection: [host: "localhost", database: "app", user: "replicator", password: "..."],
          slot: "shapes", publication: "shapes", tables: ["public.todos"]
        )

      receive do
        {:shape_router_source, ^source, {:transaction, transaction}} ->
          # ... route it, make the result durable ...
          if transaction.last?, do: ShapeRouter.Source.Postgres.ack(source, transaction.lsn)
          ShapeRouter.Source.Postgres.ready(source)
      end
  """

  use GenServer, restart: :transient

  alias ShapeRouter.{Error, Native, Options}
  alias ShapeRouter.Source.Rows

  @connection [
    host: "127.0.0.1",
    port: 5432,
    user: "postgres",
    password: nil,
    database: "postgres",
    ssl: :prefer,
    ssl_root_cert: nil
  ]

  @options [
    connection: [],
    slot: "shape_router",
    publication: "shape_router",
    tables: :all,
    temporary_slot: false,
    export_snapshot: false,
    subscriber: nil,
    max_fragment_changes: 1000,
    max_fragment_bytes: 1_048_576,
    credits: 4,
    status_interval_ms: 10_000,
    backoff_min_ms: 100,
    backoff_max_ms: 30_000,
    read_timeout_ms: 30_000,
    name: nil
  ]

  @typedoc "What `ShapeRouter.ShapeLogCollector` takes as `:read_rows`."
  @type read_rows ::
          ({String.t(), String.t()}, [map()], [String.t()] | :all ->
             {:ok, [map()]} | {:error, Error.t()})
  @typedoc "What `ShapeRouter.ShapeLogCollector` takes as `:load_rows`."
  @type load_rows ::
          ({String.t(), String.t()} ->
             {:ok, snapshot :: tuple(), rows :: Enumerable.t()} | {:error, Error.t()})

  @type event ::
          {:started, map()}
          | {:transaction, ShapeRouter.Changes.Transaction.t()}
          | {:disconnected, String.t()}
          | :reconnected
          | {:stopped, nil | term()}

  @doc """
  Starts a source. Options, with their defaults:

    * `:connection` - `host` (#{inspect(@connection[:host])}; a directory is that of a unix socket), `port`
      (5432), `user` ("postgres"; it needs the REPLICATION attribute), `password` (none), `database`
      ("postgres"), `ssl` (`:disable | :prefer | :require | :verify_full`, default `:prefer`),
      `ssl_root_cert` (a PEM file; default: the system's authorities)
    * `:slot` ("shape_router"), `:temporary_slot` (false: the slot survives the connection)
    * `:publication` ("shape_router"), `:tables` (`:all`, or `["schema.table"]`: what the publication
      must have; an existing one gets what it lacks)
    * `:export_snapshot` (false) - when the slot is created, `started` names a snapshot that shows the
      database exactly at the slot's start; streaming begins after `release_snapshot/1`
    * `:subscriber` (the caller; under a supervisor that is the supervisor, so name it), `:credits` (4: fragments to send before the first `ready/2`)
    * `:max_fragment_changes` (1000), `:max_fragment_bytes` (1 MiB)
    * `:status_interval_ms` (10000), `:backoff_min_ms` (100), `:backoff_max_ms` (30000)
    * `:read_timeout_ms` (30000) - how long `read_rows/1` may take to connect, and each of its steps
    * `:name` - as in `GenServer.start_link/3`
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    with {:ok, opts} <- options(opts) do
      opts = Map.update!(opts, :subscriber, &(&1 || self()))
      GenServer.start_link(__MODULE__, opts, if(opts.name, do: [name: opts.name], else: []))
    end
  end

  @doc """
  Everything up to the transaction that committed at `lsn` is dealt with: PostgreSQL need not send it
  again. Call it for a transaction's last fragment.
  """
  @spec ack(GenServer.server(), non_neg_integer()) :: :ok
  def ack(source, lsn) when is_integer(lsn) and lsn >= 0, do: GenServer.cast(source, {:ack, lsn})

  @doc "The subscriber can take so many more transactions or fragments."
  @spec ready(GenServer.server(), pos_integer()) :: :ok
  def ready(source, fragments \\ 1) when is_integer(fragments) and fragments > 0,
    do: GenServer.cast(source, {:ready, fragments})

  @doc "Lets the exported snapshot go, and streaming begin."
  @spec release_snapshot(GenServer.server()) :: :ok
  def release_snapshot(source), do: GenServer.cast(source, :release_snapshot)

  @doc """
  Where it stands: `state` (`:connecting | :holding_snapshot | :streaming | :backing_off | :stopped`),
  the LSNs `confirmed`, `received` and `delivered`, `credits`, `last_error`.
  """
  @spec status(GenServer.server()) :: map()
  def status(source), do: GenServer.call(source, :status)

  @doc "Stops it: the connection is closed in order."
  @spec stop(GenServer.server()) :: :ok
  def stop(source), do: GenServer.stop(source)

  @doc """
  A function that reads rows as they stand now, by their keys: what `ShapeRouter.ShapeLogCollector` takes
  as `:read_rows` (and takes by itself from the source whose subscriber it is). Of a running source, or of
  the options of a `:connection` and `:timeout_ms` (30000); wrong options raise.

      read_rows = ShapeRouter.Source.Postgres.read_rows(host: "localhost", database: "app", user: "reader")
      {:ok, [row]} = read_rows.({"public", "todos"}, [%{"id" => "42"}], ["title"])

  A row is a map of the key's columns and those asked for (`:all`: all that the WAL carries), with values
  in the WAL's text forms: the session is set to the same. What is not there does not come. Keys are sent as
  parameters, many at once, over one connection without replication, which is made when it is first needed
  and made again when it was lost.

  Errors are `ShapeRouter.Error`s: `:unknown_table`, or `:source_error` with PostgreSQL's `sqlstate`, where
  it said one. Rows that a policy of row security would hide are an error too (42501): they would look
  deleted. The user must be allowed to read the tables.
  """
  @spec read_rows(GenServer.server() | keyword()) :: read_rows()
  def read_rows(source_or_connection) do
    reader =
      if is_list(source_or_connection),
        do: source_or_connection |> reading!() |> new_reader!(),
        else: GenServer.call(source_or_connection, :reader)

    &Rows.read(reader, &1, &2, &3)
  end

  @doc """
  A function that reads whole tables, each as one snapshot shows it: what `ShapeRouter.ShapeLogCollector`
  takes as `:load_rows`. Of a source, or of options as for `read_rows/1`; `snapshot: name` reads all of them
  as an exported snapshot shows them, while that lasts (see `:export_snapshot`).

      load_rows = ShapeRouter.Source.Postgres.load_rows(source)
      {:ok, {xmin, xmax, xip, lsn}, rows} = load_rows.({"public", "todos"})

  What `pg_current_snapshot()` says of it comes with an LSN that everything it shows lies before. `rows` are read while they are taken, over a connection of their own. Where that is lost, taking them
  raises a `ShapeRouter.Error`.
  """
  @spec load_rows(GenServer.server() | keyword(), snapshot: String.t()) :: load_rows()
  def load_rows(source_or_connection, opts \\ []) do
    snapshot = Keyword.get(opts, :snapshot)

    connection =
      if is_list(source_or_connection),
        do: reading!(source_or_connection),
        else: GenServer.call(source_or_connection, :reading)

    &Rows.load(connection, &1, snapshot)
  end

  @doc false
  # Others may send what a source sends.
  @spec source?(term()) :: boolean()
  def source?(pid) when is_pid(pid) and node(pid) == node(),
    do: :proc_lib.translate_initial_call(pid) == {__MODULE__, :init, 1}

  def source?(_other), do: false

  defp reading!(opts) do
    {timeout_ms, opts} =
      if Keyword.keyword?(opts), do: Keyword.pop(opts, :timeout_ms, 30_000), else: {30_000, opts}

    case Options.merge(opts, @connection, "connection options") do
      {:ok, connection} -> reading(connection, timeout_ms)
      {:error, error} -> raise error
    end
  end

  # As the NIF takes it.
  defp reading(connection, timeout_ms) do
    connection
    |> Map.merge(%{timeout_ms: timeout_ms, ssl: to_string(connection.ssl)})
    |> Map.new(fn {name, value} -> {Atom.to_string(name), value} end)
  end

  defp new_reader!(reading) do
    case Error.result(Native.reader_new(reading)) do
      {:ok, reader} -> reader
      {:error, error} -> raise error
    end
  end

  @impl GenServer
  def init(opts) do
    Process.flag(:trap_exit, true)
    Process.monitor(opts.subscriber)

    with {:ok, reader} <- Native.reader_new(opts.reading),
         {:ok, ref} <- Native.source_start({self(), opts.subscriber}, opts.native) do
      Native.source_grant(ref, opts.credits)
      {:ok, %{ref: ref, subscriber: opts.subscriber, reader: reader, reading: opts.reading}}
    else
      {:error, error} -> {:stop, Error.from_native(error)}
    end
  end

  @impl GenServer
  def handle_cast({:ack, lsn}, state) do
    Native.source_confirm(state.ref, lsn)
    {:noreply, state}
  end

  def handle_cast({:ready, fragments}, state) do
    Native.source_grant(state.ref, fragments)
    {:noreply, state}
  end

  def handle_cast(:release_snapshot, state) do
    Native.source_release_snapshot(state.ref)
    {:noreply, state}
  end

  @impl GenServer
  def handle_call(:status, _from, state), do: {:reply, Native.source_status(state.ref), state}
  def handle_call(:reader, _from, state), do: {:reply, state.reader, state}
  def handle_call(:reading, _from, state), do: {:reply, state.reading, state}

  @impl GenServer
  def handle_info({:DOWN, _, :process, subscriber, _}, %{subscriber: subscriber} = state),
    do: {:stop, :normal, state}

  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}
  def handle_info(_other, state), do: {:noreply, state}

  @impl GenServer
  def terminate(_reason, state), do: Native.source_stop(state.ref)

  defp options(opts) do
    with {:ok, opts} <- Options.merge(opts, @options),
         {:ok, connection} <- Options.merge(opts.connection, @connection, "connection options"),
         {:ok, tables} <- tables(opts.tables) do
      native =
        opts
        |> Map.drop([:connection, :subscriber, :credits, :read_timeout_ms, :name])
        |> Map.merge(connection)
        |> Map.merge(%{tables: tables, ssl: to_string(connection.ssl)})
        |> Map.new(fn {name, value} -> {Atom.to_string(name), value} end)

      reading = reading(connection, opts.read_timeout_ms)
      {:ok, Map.merge(opts, %{native: native, reading: reading})}
    end
  end

  defp tables(:all), do: {:ok, nil}

  defp tables(tables) when is_list(tables) do
    Enum.reduce_while(tables, {:ok, []}, fn table, {:ok, done} ->
      case table do
        {schema, name} when is_binary(schema) and is_binary(name) ->
          {:cont, {:ok, done ++ [{schema, name}]}}

        name when is_binary(name) ->
          pair = name |> String.split(".", parts: 2) |> pair()
          {:cont, {:ok, done ++ [pair]}}

        other ->
          {:halt, Error.argument("not a table's name: #{inspect(other)}")}
      end
    end)
  end

  defp tables(other), do: Error.argument("tables is neither :all nor a list: #{inspect(other)}")

  defp pair([name]), do: {"public", name}
  defp pair([schema, name]), do: {schema, name}
end
