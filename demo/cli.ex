defmodule ShapeRouter.Demo.CLI do
  @moduledoc """
  What `bin/demo` runs, after it has checked the options and made a directory.

  The steps: a server with data, a replication source, routers with shapes, the copies' first
  filling, the workload, and when all of its WAL is handled, the comparison.
  """

  alias ShapeRouter.Demo.{Copies, Oracle, Pipeline, Progress, Schema, Server, Shapes}
  alias ShapeRouter.Demo.{Statistics, Verify, Workload}
  alias ShapeRouter.Source.Postgres

  @options [
    shapes: :integer,
    seconds: :integer,
    replica_identity: :string,
    keep: :boolean,
    break: :integer,
    seed: :integer
  ]
  @catch_up_ms 60_000

  @doc "Runs the demo, and ends the VM with 0 if there was no difference, otherwise with 1."
  @spec main([String.t()]) :: no_return()
  def main(args) do
    {options, []} = OptionParser.parse!(args, strict: @options)
    options = Map.new(options)
    # A crash of the pipeline must be reported here, not end this process too.
    Process.flag(:trap_exit, true)

    status =
      try do
        run(options)
      rescue
        error ->
          IO.puts("FAILED: " <> Exception.format(:error, error, __STACKTRACE__))
          1
      end

    # Output that goes to a pipe is written by another process.
    Logger.flush()
    System.halt(status)
  end

  defp run(options) do
    identity = String.to_existing_atom(options.replica_identity)
    seed = options[:seed] || :rand.uniform(1_000_000)
    directory = System.fetch_env!("SHAPE_ROUTER_DEMO_DIR")

    say("Starting a private PostgreSQL")
    server = Server.start(directory, System.fetch_env!("PG_BIN"))
    Server.psql!(server, Schema.create_sql(identity))
    shapes = Shapes.make(options.shapes, seed)

    say(
      "Registering #{Progress.number(length(shapes))} shapes " <>
        "(replica identity #{identity}, seed #{seed})"
    )

    statistics = Statistics.new()
    copies = Copies.new(shapes, identity)
    break = options[:break] || 0
    pipeline_opts = [owner: self(), copies: copies, statistics: statistics, break: break]
    {:ok, pipeline} = Pipeline.start_link(pipeline_opts)
    {source, snapshot} = start_source(server, pipeline)

    # From here on there are writes. The shapes are filled from the snapshot at which the slot
    # begins, whatever was committed since; the WAL flows when they are.
    say("Running the workload for #{options.seconds} s")
    progress = Progress.start(statistics, length(shapes))
    workload = Task.async(fn -> Workload.run(server, statistics, options.seconds) end)
    keys = fill(server, shapes, copies, snapshot)
    :ok = Pipeline.route_with(pipeline, routers(shapes, keys))
    :ok = Postgres.release_snapshot(source)

    await(workload, pipeline)
    catch_up(server, statistics, pipeline)
    Task.shutdown(progress)

    say("Comparing #{Progress.number(length(shapes))} shapes with PostgreSQL")
    read_again = Verify.read_again(server, shapes, copies)
    {differences, texts} = Verify.differences(server, shapes, copies)
    counts = Statistics.get(statistics)
    too_little = Verify.too_little(counts, identity, copies, shapes, read_again)
    problems = too_little ++ unconfirmed(server, counts.lsn, 100)

    report(counts, read_again)
    :ok = Postgres.stop(source)
    if options[:keep], do: IO.puts(["\n", Server.how_to_connect(server)])
    finish(counts, shapes, differences, texts, problems)
  end

  defp start_source(server, pipeline) do
    {:ok, source} =
      Postgres.start_link(
        connection: Server.connection(server),
        slot: "shape_router_demo",
        publication: "shape_router_demo",
        tables: Enum.map(Schema.tables(), &"public.#{&1}"),
        temporary_slot: true,
        export_snapshot: true,
        subscriber: pipeline,
        # The answer to a change can name most of the shapes: small portions.
        max_fragment_changes: 200,
        status_interval_ms: 500
      )

    receive do
      {:started, ^source, %{snapshot: snapshot}} when is_binary(snapshot) -> {source, snapshot}
      {:EXIT, pid, why} when pid in [source, pipeline] -> raise "no replication: #{inspect(why)}"
    after
      30_000 -> raise "the replication source did not start"
    end
  end

  # Fills the copies; gives the keys of the shapes that tell the router what they hold.
  defp fill(server, shapes, copies, snapshot) do
    by_id = Map.new(shapes, &{&1.id, &1})
    keys = :ets.new(:keys, [:duplicate_bag])

    Oracle.each_member(server, shapes, [snapshot: snapshot], fn {id, key, fingerprint} ->
      shape = by_id[id]
      Copies.put(copies, shape.table, id, key, fingerprint)
      if shape.known?, do: :ets.insert(keys, {id, key})
    end)

    keys |> :ets.tab2list() |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
  end

  defp routers(shapes, keys) do
    for {table, shapes} <- Enum.group_by(shapes, & &1.table), into: %{} do
      {:ok, router} =
        ShapeRouter.new("demo", table,
          columns: Schema.columns(table),
          primary_key: Schema.key(table)
        )

      :ok =
        ShapeRouter.add_shapes(
          router,
          for shape <- shapes do
            {shape.id, shape.where, keys: known_keys(shape, keys)}
          end
        )

      {table, router}
    end
  end

  defp known_keys(%{known?: false}, _keys), do: :unknown

  defp known_keys(shape, keys) do
    composite? = length(Schema.key(shape.table)) > 1

    for key <- Map.get(keys, shape.id, []),
        do: if(composite?, do: String.split(key, ","), else: key)
  end

  defp await(task, pipeline) do
    receive do
      {ref, _result} when ref == task.ref -> Process.demonitor(ref, [:flush])
      {:EXIT, ^pipeline, reason} -> raise "the pipeline ended: #{Exception.format_exit(reason)}"
      {:DOWN, ref, _, _, reason} when ref == task.ref -> raise Exception.format_exit(reason)
    end
  end

  # A last transaction: when it has come through, everything before it has.
  defp catch_up(server, statistics, pipeline) do
    lsn =
      server
      |> Server.psql!(
        "SELECT pg_current_wal_insert_lsn() - '0/0'; INSERT INTO projects (id) VALUES (0);"
      )
      |> String.trim()
      |> String.to_integer()

    wait_for(lsn, statistics, pipeline, System.monotonic_time(:millisecond) + @catch_up_ms)
  end

  defp wait_for(lsn, statistics, pipeline, deadline) do
    cond do
      Statistics.get(statistics).lsn >= lsn ->
        :ok

      System.monotonic_time(:millisecond) > deadline ->
        raise "the router did not catch up in time"

      true ->
        wait_longer(lsn, statistics, pipeline, deadline)
    end
  end

  defp wait_longer(lsn, statistics, pipeline, deadline) do
    receive do
      {:EXIT, ^pipeline, reason} -> raise "the pipeline ended: #{Exception.format_exit(reason)}"
    after
      50 -> wait_for(lsn, statistics, pipeline, deadline)
    end
  end

  # What was acknowledged must have come to PostgreSQL, which otherwise keeps its WAL for ever.
  defp unconfirmed(_server, lsn, 0), do: ["PostgreSQL was not told that #{lsn} is handled"]

  defp unconfirmed(server, lsn, tries) do
    answer =
      Server.psql!(
        server,
        "SELECT confirmed_flush_lsn - '0/0' >= #{lsn} FROM pg_replication_slots;"
      )

    if answer == "t\n" do
      []
    else
      Process.sleep(100)
      unconfirmed(server, lsn, tries - 1)
    end
  end

  defp report(counts, {read_again, elsewhere}) do
    number = &Progress.number/1

    IO.puts("""

      changes     #{number.(counts.changes)} in #{number.(counts.transactions)} transactions: \
    #{number.(counts.inserts)} inserts, #{number.(counts.updates)} updates \
    (#{number.(counts.key_changes)} of the key, #{number.(counts.left_out)} without the large column), \
    #{number.(counts.deletes)} deletes, #{number.(counts.truncates)} truncates
      routing     #{Progress.us(counts.route_ns, counts.changes)} µs a change
      operations  #{number.(counts.operations)}: #{classes(counts)}
      read again  #{number.(read_again)} rows, #{number.(elsewhere)} of them of shapes that do not read the large column
    """)
  end

  defp classes(counts) do
    [:insert, :insert_missing, :update, :delete, :rekey, :upsert, :delete_if_present]
    |> Enum.concat([:truncate, :unknown])
    |> Enum.filter(&(counts[&1] > 0))
    |> Enum.map_join(", ", &"#{Progress.number(counts[&1])} #{&1}")
  end

  defp finish(counts, shapes, 0, [], []) do
    changes = Progress.number(counts.changes)
    IO.puts("OK: #{changes} changes, #{Progress.number(length(shapes))} shapes, 0 differences")
    0
  end

  defp finish(counts, shapes, differences, texts, problems) do
    for text <- texts, do: IO.puts("  " <> text)
    for problem <- problems, do: IO.puts("  This run proves too little: " <> problem)

    IO.puts(
      "FAILED: #{Progress.number(counts.changes)} changes, #{Progress.number(length(shapes))} shapes, " <>
        "#{Progress.number(differences)} differences"
    )

    1
  end

  defp say(text), do: IO.puts("==> #{text}")
end
