defmodule ShapeRouter.Demo.Service do
  @moduledoc """
  The service that the demo is about, in an operating-system process of its own, so that it can be killed:
  the replication source, the collector that keeps the logs, and the endpoint that serves them.

  It is started by `ShapeRouter.Demo.ServiceProcess` with a file of settings. Its first life takes the rows of all
  shapes from the snapshot at which the slot begins; a later one finds everything in its directory.

  It tells what it does on its standard output, and ends when its standard input does: with whoever
  started it.
  """

  alias ShapeRouter.Demo.{Oracle, Schema, Server, Template, ServiceProcess, Statistics, Tap}
  alias ShapeRouter.{Endpoint, ShapeLog, ShapeLogCollector}
  alias ShapeRouter.Source.Postgres

  # Small, so that in a short run there are sealed chunks, and files among them that are worth a sendfile.
  @chunk_bytes 131_072
  # A client that waits hears soon that the demo is over.
  @live_timeout_ms 1_000
  @tell_every_ms 200

  @doc "Runs until standard input ends."
  @spec main(Path.t()) :: no_return()
  def main(settings_file) do
    # Nothing outlives the one who started it, also while the rows are loaded.
    parent = self()
    spawn(fn -> listen(parent) end)
    settings = settings_file |> File.read!() |> :erlang.binary_to_term()
    {:ok, _} = Application.ensure_all_started(:shape_router)
    statistics = Statistics.new()
    rows_read = :counters.new(1, [])

    {:ok, collector} =
      ShapeLogCollector.start_link(
        tables:
          for table <- Schema.tables() do
            {"public." <> table, columns: Schema.columns(table), primary_key: Schema.key(table)}
          end,
        storage_dir: settings.storage_dir,
        chunk_bytes_threshold: @chunk_bytes,
        load_rows: Postgres.load_rows(Server.connection(settings.server)),
        read_rows: counted(Postgres.read_rows(Server.connection(settings.server)), rows_read)
      )

    durable = ShapeLogCollector.durable_lsn(collector)

    {:ok, tap} =
      Tap.start_link(
        owner: self(),
        collector: collector,
        statistics: statistics,
        durable: durable
      )

    {source, snapshot} = start_source(settings, tap)

    if snapshot do
      :ok = add_shapes(settings, collector, snapshot)
      :ok = Postgres.release_snapshot(source)
    end

    {:ok, endpoint} =
      Endpoint.start_link(
        collector: collector,
        port: settings.port,
        live_timeout: @live_timeout_ms
      )

    tell({:ready, %{port: Endpoint.port(endpoint), durable: durable}})
    [first | _] = ShapeLogCollector.shapes(collector)
    {:ok, %{log: log}} = ShapeLogCollector.shape(collector, first)

    work(%{
      source: source,
      collector: collector,
      log: log,
      rows_read: rows_read,
      statistics: statistics
    })
  end

  # How many times rows were read that the WAL does not carry whole.
  defp counted(read, counter) do
    fn table, keys, columns ->
      :counters.add(counter, 1, 1)
      read.(table, keys, columns)
    end
  end

  defp listen(parent) do
    case IO.read(:stdio, :line) do
      "stop\n" ->
        send(parent, :stop)
        listen(parent)

      _ended ->
        System.halt(0)
    end
  end

  defp start_source(settings, tap) do
    {:ok, source} =
      Postgres.start_link(
        connection: Server.connection(settings.server),
        slot: settings.slot,
        publication: settings.slot,
        tables: Enum.map(Schema.tables(), &"public.#{&1}"),
        export_snapshot: settings.begin?,
        subscriber: tap,
        # The answer to a change can name many shapes: small portions.
        max_fragment_changes: 200,
        status_interval_ms: 500,
        backoff_max_ms: 500
      )

    receive do
      {:started, ^source, %{snapshot: snapshot}} -> {source, snapshot}
    after
      30_000 -> raise "the replication source did not start"
    end
  end

  # Each shape begins with its rows. Of a few the router is not told which ones these are.
  defp add_shapes(settings, collector, snapshot) do
    tell({:adding, length(settings.shapes)})
    members = :ets.new(:members, [:duplicate_bag])

    plain = Enum.reject(settings.shapes, &Template.subquery?(&1.template))

    Oracle.each_member(settings.server, plain, [snapshot: snapshot], fn
      {id, key, _fingerprint} -> :ets.insert(members, {id, key})
    end)

    rows = :ets.new(:rows, [])

    load = Postgres.load_rows(Server.connection(settings.server), snapshot: snapshot)

    for table <- Schema.tables() do
      {:ok, _, loaded} = load.({"public", table})
      for row <- loaded, do: :ets.insert(rows, {{table, Schema.key_text(table, row)}, row})
    end

    shapes =
      for shape <- plain do
        keys = for {_, key} <- :ets.lookup(members, shape.id), do: {shape.table, key}
        held = Stream.map(keys, fn key -> rows |> :ets.lookup(key) |> hd() |> elem(1) end)
        known = if shape.known?, do: [], else: [keys: :unknown]
        {shape.id, {"public." <> shape.table, shape.where}, [rows: held] ++ known}
      end

    # The rows of these the collector knows: from now, and then from the WAL, of which it has had nothing yet.
    with_subqueries =
      for shape <- settings.shapes -- plain,
          do: {shape.id, {"public." <> shape.table, shape.where}}

    ShapeLogCollector.add_shapes(collector, shapes ++ with_subqueries)
  end

  defp work(service) do
    receive do
      :stop ->
        tell({:counted, counts(service)})
        :ok = Postgres.stop(service.source)
        :ok = GenServer.stop(service.collector)
        tell(:stopped)
        System.halt(0)
    after
      @tell_every_ms ->
        tell({:counted, counts(service)})
        work(service)
    end
  end

  defp counts(service) do
    stats = ShapeLog.stats(service.log)

    Map.merge(Statistics.get(service.statistics), %{
      lsn: ShapeLogCollector.durable_lsn(service.collector),
      entries: stats["entries"],
      flushes: stats["flushes"],
      rows_read: :counters.get(service.rows_read, 1)
    })
  end

  defp tell(event), do: IO.write(ServiceProcess.line(event))
end
