# What logs cost from Elixir: appending, reading from memory, from files and from the log, catching up.
#
#     bin/bench log [--shapes N] [--quick]

defmodule LogBench do
  @moduledoc false

  alias ShapeRouter.Changes.{NewRecord, Transaction}
  alias ShapeRouter.{Endpoint, SealedChunk, ShapeLog, ShapeLogCollector}

  @columns [columns: [id: :int8, user_id: :int8, title: :text], primary_key: [:id]]
  @relation {"public", "todos"}

  def run(argv) do
    {opts, [], []} = OptionParser.parse(argv, strict: [quick: :boolean, dir: :string])
    root = Path.join(opts[:dir] || System.tmp_dir!(), "shape_router_bench_log")
    File.rm_rf!(root)
    seconds = if opts[:quick], do: 1, else: 5

    try do
      appends(root, seconds)
      reads(root)
      serving(root, if(opts[:quick], do: 10, else: 100))
      catching_up(root, seconds)
      recovery(root, if(opts[:quick], do: 1_000, else: 10_000))
    after
      File.rm_rf!(root)
    end
  end

  defp collector(root, name, opts \\ []) do
    {:ok, collector} =
      ShapeLogCollector.start_link(
        [tables: [{"todos", @columns}], storage_dir: Path.join(root, name)] ++ opts
      )

    collector
  end

  defp row(id, user), do: %{"id" => "#{id}", "user_id" => "#{user}", "title" => title()}
  defp title, do: "a title of fifty bytes, more or less, that is it.."

  defp add(collector, shapes) do
    :ok =
      ShapeLogCollector.add_shapes(
        collector,
        for(id <- 1..shapes, do: {id, {"todos", "user_id = #{id}"}, keys: []})
      )
  end

  # One transaction of one change for each of so many shapes; several processes wait for their own.
  defp appends(root, seconds) do
    IO.puts("Appends, durable when they return (fsync: :always)")
    heading(["shapes", "changes a transaction", "transactions/s", "entries/s", "median ms"])

    for {shapes, changes} <- [{1, 1}, {100, 1}, {100, 100}, {10_000, 1}, {10_000, 1000}] do
      collector = collector(root, "append-#{shapes}-#{changes}")
      add(collector, shapes)
      test = self()
      until = now() + seconds * 1_000_000

      # As a source does: the next transactions are taken while the last are made durable.
      writers = min(64, shapes)
      lsn = :atomics.new(1, [])

      pids =
        for _ <- 1..writers do
          spawn_link(fn -> write(collector, lsn, shapes, changes, until, [], test) end)
        end

      times = Enum.flat_map(pids, fn pid -> receive(do: ({:times, ^pid, times} -> times)) end)
      stats = ShapeLog.stats(log(collector, 1))

      line([
        shapes,
        changes,
        round(length(times) / seconds),
        round(stats["entries"] / seconds),
        Float.round(median(times) / 1000, 2)
      ])

      GenServer.stop(collector)
    end

    IO.puts("")
  end

  # Transactions come in the order of their LSNs: whoever takes a number hands it over before the next.
  defp write(collector, lsn, shapes, changes, until, times, test) do
    if now() > until do
      send(test, {:times, self(), times})
    else
      rows =
        for _ <- 1..changes,
            do: %NewRecord{
              relation: @relation,
              record: row(:rand.uniform(1_000_000_000), :rand.uniform(shapes))
            }

      started = now()

      :global.trans(
        {:lsn, self()},
        fn ->
          number = :atomics.add_get(lsn, 1, 1)

          send(
            collector,
            {:"$gen_call", {self(), number},
             {:transaction, %Transaction{lsn: number, changes: rows}}}
          )

          Process.put(:number, number)
        end,
        [node()]
      )

      number = Process.get(:number)
      receive(do: ({^number, :ok} -> :ok))
      write(collector, lsn, shapes, changes, until, [now() - started | times], test)
    end
  end

  defp log(collector, id) do
    {:ok, %{log: log}} = ShapeLogCollector.shape(collector, id)
    log
  end

  # A hundred operations: from the cache, and from the log, whose pages the kernel has or has not.
  defp reads(root) do
    IO.puts("A read of the last 100 of 5,000 operations, µs")
    heading(["from", "median", "p99"])
    collector = collector(root, "reads")
    add(collector, 1)
    fill(collector, 1, 5_000)
    log = log(collector, 1)
    :ok = ShapeLog.flush(log)
    behind = {1, 2 * 4_899}
    {:cached, json, _} = ShapeLog.read(log, behind)
    report("ShapeLog.read, the cache", fn -> {:cached, _, _} = ShapeLog.read(log, behind) end)
    cache = ShapeRouter.OperationCache.new()

    operations =
      for n <- 1..1000, do: {{n, 0}, binary_part(json, 1, div(byte_size(json), 100) - 1)}

    :ok = ShapeRouter.OperationCache.append(cache, operations)

    report("OperationCache.read_since", fn ->
      {:ok, _, _} = ShapeRouter.OperationCache.read_since(cache, {900, 0}, 100)
    end)

    GenServer.stop(collector)

    collector = collector(root, "reads")
    log = log(collector, 1)

    from_log = fn ->
      {:stream, pieces, _} = ShapeLog.read(log, behind)
      Enum.each(pieces, & &1)
    end

    report("the log, in the page cache", from_log)

    dropped =
      for _ <- 1..30,
          do:
            (
              drop_pages()
              time(from_log)
            )

    line([
      "the log, pages dropped",
      Float.round(median(dropped), 1),
      Float.round(Enum.max(dropped) / 1, 1)
    ])

    GenServer.stop(collector)
    IO.puts("")
  end

  defp fill(collector, lsn, count) do
    changes = for id <- 1..count, do: %NewRecord{relation: @relation, record: row(id, 1)}

    :ok =
      ShapeLogCollector.handle_transaction(collector, %Transaction{lsn: lsn, changes: changes})
  end

  # Only root may; otherwise what is measured is the page cache again.
  defp drop_pages do
    _ = System.cmd("sync", [])
    _ = File.write("/proc/sys/vm/drop_caches", "1")
  end

  defp report(name, run) do
    times = for _ <- 1..2000, do: time(run)
    sorted = Enum.sort(times)
    line([name, Float.round(median(times), 1), Float.round(Enum.at(sorted, 1980), 1)])
  end

  # A chunk of 10 MiB to a client on the same machine, by sendfile and as a stream.
  defp serving(root, times) do
    IO.puts("A chunk of 10 MiB over HTTP, #{times} times")
    heading(["how", "MB/s", "CPU ms a chunk"])
    collector = collector(root, "serving", operation_cache_max_operations: 1)
    add(collector, 1)
    for lsn <- 1..65, do: fill(collector, lsn, 1000)
    log = log(collector, 1)
    {:ok, _} = SealedChunk.seal(log)
    [chunk | _] = SealedChunk.list(log)
    {:ok, endpoint} = Endpoint.start_link(collector: collector, port: 0)
    {:ok, %{handle: handle}} = ShapeLogCollector.shape(collector, 1)

    url =
      "http://127.0.0.1:#{Endpoint.port(endpoint)}/v1/shape?table=todos&where=user_id%20%3D%201"

    for {name, query} <- [
          {"sendfile", "offset=-1"},
          # Just behind the chunk's first entry: all of it but that one.
          {"stream", "offset=1_0&handle=#{handle}"}
        ] do
      cpu = cpu_ms()
      started = now()
      urls = List.duplicate("#{url}&#{query}", times)

      {_, 0} =
        System.cmd(
          "curl",
          (["-s", "-o", "/dev/null"] ++ Enum.flat_map(urls, &[&1, "-o", "/dev/null"]))
          |> Enum.drop(-2)
        )

      seconds = (now() - started) / 1_000_000

      line([
        name,
        round(times * chunk.bytes / 1_000_000 / seconds),
        Float.round((cpu_ms() - cpu) / times, 2)
      ])
    end

    Supervisor.stop(endpoint)
    GenServer.stop(collector)
    IO.puts("")
  end

  # What this process has used of the processors, without its children.
  defp cpu_ms do
    [_, rest] = "/proc/self/stat" |> File.read!() |> String.split(") ", parts: 2)
    fields = String.split(rest)
    (String.to_integer(Enum.at(fields, 11)) + String.to_integer(Enum.at(fields, 12))) * 10
  end

  # Clients follow a hundred shapes while these change; now and then each stays away for a while.
  defp catching_up(root, seconds) do
    IO.puts("Clients that catch up: 100 shapes, 4 clients, away for up to 200 ms")
    collector = collector(root, "catching-up")
    add(collector, 100)
    until = now() + seconds * 1_000_000

    clients =
      for _ <- 1..4 do
        Task.async(fn -> follow(collector, until, Map.new(1..100, &{&1, {0, 0}}), {0, 0}) end)
      end

    written = write_on(collector, until, 1)

    {hits, reads} =
      clients
      |> Task.await_many(:infinity)
      |> Enum.reduce({0, 0}, fn {h, r}, {hs, rs} -> {hs + h, rs + r} end)

    IO.puts(
      "  #{written} transactions, #{reads} reads, hit rate #{Float.round(100 * hits / max(reads, 1), 1)} %\n"
    )

    GenServer.stop(collector)
  end

  defp write_on(collector, until, lsn) do
    if now() > until do
      lsn
    else
      changes =
        for _ <- 1..20,
            do: %NewRecord{
              relation: @relation,
              record: row(:rand.uniform(1_000_000_000), :rand.uniform(100))
            }

      :ok =
        ShapeLogCollector.handle_transaction(collector, %Transaction{lsn: lsn, changes: changes})

      write_on(collector, until, lsn + 1)
    end
  end

  defp follow(collector, until, offsets, {hits, reads}) do
    if now() > until do
      {hits, reads}
    else
      id = :rand.uniform(100)

      case ShapeLog.read(log(collector, id), offsets[id]) do
        {:cached, "[]", _} ->
          Process.sleep(:rand.uniform(5))
          follow(collector, until, offsets, {hits, reads})

        {kind, body, headers} ->
          if kind == :stream, do: Stream.run(body)
          {_, next} = List.keyfind(headers, "electric-offset", 0)
          {:ok, next} = ShapeLog.parse_offset(next)
          if :rand.uniform(100) == 1, do: Process.sleep(:rand.uniform(200))

          follow(
            collector,
            until,
            %{offsets | id => next},
            {hits + if(kind == :cached, do: 1, else: 0), reads + 1}
          )
      end
    end
  end

  defp recovery(root, shapes) do
    IO.puts("Opening a collector with #{shapes} logs, ms")
    collector = collector(root, "recovery")
    add(collector, shapes)

    for lsn <- 1..20,
        do:
          (
            changes =
              for id <- 1..shapes//10,
                  do: %NewRecord{relation: @relation, record: row(lsn * 1_000_000 + id, id)}

            :ok =
              ShapeLogCollector.handle_transaction(collector, %Transaction{
                lsn: lsn,
                changes: changes
              })
          )

    Process.flag(:trap_exit, true)
    Process.exit(collector, :kill)
    receive(do: ({:EXIT, ^collector, _} -> :ok))
    Process.sleep(2000)

    for name <- ["after a kill", "after a clean end"] do
      started = now()
      collector = collector(root, "recovery")
      IO.puts("  #{name}: #{Float.round((now() - started) / 1000, 1)}")
      GenServer.stop(collector)
    end
  end

  defp now, do: System.monotonic_time(:microsecond)

  defp time(run) do
    started = System.monotonic_time(:nanosecond)
    run.()
    (System.monotonic_time(:nanosecond) - started) / 1000
  end

  defp median([]), do: 0.0
  defp median(times), do: times |> Enum.sort() |> Enum.at(div(length(times), 2)) |> Kernel./(1)

  defp heading(columns), do: line(columns)

  defp line(columns),
    do: IO.puts("  " <> Enum.map_join(columns, "", &String.pad_trailing("#{&1}", 28)))
end

LogBench.run(System.argv())
