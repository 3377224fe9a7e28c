defmodule ShapeRouter.Demo.CLI do
  @moduledoc """
  What `bin/demo` runs, after it has checked the options and made a directory.

  The steps: a server with data; the service, which takes each shape's rows and then the WAL; the workload,
  with clients that follow shapes live; in the middle of it the service is killed and started again. When
  all of the WAL is logged, every shape is read from its beginning, and the copies are compared.
  """

  alias ShapeRouter.Demo.{Clients, Progress, Schema, Server, ServiceProcess, Shapes, Statistics}
  alias ShapeRouter.Demo.{Report, Verify, Workload}

  @options [
    shapes: :integer,
    seconds: :integer,
    replica_identity: :string,
    crash: :boolean,
    keep: :boolean,
    break: :integer,
    seed: :integer
  ]
  @catch_up_ms 60_000
  # Of so many shapes at most a client reads along from the beginning, and of so many from the middle on.
  @followers 60

  @doc "Runs the demo, and ends the VM with 0 if there was no difference, otherwise with 1."
  @spec main([String.t()]) :: no_return()
  def main(args) do
    {options, []} = OptionParser.parse!(args, strict: @options)
    options = options |> Map.new() |> Map.put_new(:crash, true)
    # What ends by itself must be reported here, not end this process too.
    Process.flag(:trap_exit, true)

    status =
      try do
        run(options)
      rescue
        error ->
          IO.puts("FAILED: " <> Exception.format(:error, error, __STACKTRACE__))
          1
      catch
        :exit, reason ->
          IO.puts("FAILED: " <> Exception.format_exit(reason))
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
    number = Progress.number(length(shapes))

    say("Starting the service with #{number} shapes (replica identity #{identity}, seed #{seed})")
    statistics = Statistics.new()

    {:ok, service} =
      ServiceProcess.start_link(
        server: server,
        shapes: shapes,
        storage_dir: ServiceProcess.storage_dir(server),
        statistics: statistics
      )

    port = ServiceProcess.await_ready(service)

    say("Running the workload for #{options.seconds} s")
    progress = Progress.start(statistics, length(shapes))
    workload = Task.async(fn -> Workload.run(server, statistics, options.seconds) end)
    {first, second} = followed(shapes)
    clients = Clients.follow(first, port)
    crash = crash(service, statistics, options)
    clients = clients ++ Clients.follow(second, port)
    await(workload, service)
    catch_up(server, statistics, service)
    Task.shutdown(progress)

    say("Reading #{number} shapes over HTTP")
    followers = Clients.finish(clients)
    started = System.monotonic_time(:millisecond)
    readers = Clients.read_all(shapes, port, options[:break] || 0)
    read_ms = System.monotonic_time(:millisecond) - started

    say("Comparing them with PostgreSQL")
    {readers, read_again} = Verify.read_again(server, readers)
    {differences, texts} = Verify.differences(server, readers, followers)
    counts = Statistics.get(statistics)

    result = %{
      counts: counts,
      identity: identity,
      readers: readers,
      followers: followers,
      joined: length(second),
      read_again: read_again,
      read_ms: read_ms,
      crash: crash
    }

    problems = Verify.too_little(result) ++ unconfirmed(server, counts.lsn, 100)
    Report.print(result)
    :ok = ServiceProcess.stop(service)
    if options[:keep], do: keep(server)
    finish(counts, shapes, differences, texts, problems)
  end

  # Half of them from now on, the others from the middle. Those whose logs are long are among both: those of
  # which the router was not told what they hold.
  defp followed(shapes) do
    {known, unknown} = Enum.split_with(shapes, & &1.known?)
    some = Enum.take(unknown, div(@followers, 2)) ++ Enum.take_random(known, @followers)

    some
    |> Enum.with_index()
    |> Enum.split_with(fn {_, index} -> rem(index, 2) == 0 end)
    |> then(fn {first, second} ->
      {Enum.map(first, &elem(&1, 0)), Enum.map(second, &elem(&1, 0))}
    end)
  end

  # In the middle of the workload. What had been counted before it.
  defp crash(service, statistics, options) do
    Process.sleep(options.seconds * 500)

    if options.crash do
      before = Statistics.get(statistics)
      say("Killing the service (kill -9), and starting it again")
      started = System.monotonic_time(:millisecond)
      :ok = ServiceProcess.crash(service)
      away = System.monotonic_time(:millisecond) - started
      say("It serves again, after #{away} ms")
      %{before: before, away_ms: away}
    end
  end

  defp await(task, service) do
    receive do
      {ref, _result} when ref == task.ref -> Process.demonitor(ref, [:flush])
      {:EXIT, ^service, reason} -> raise "the service ended: #{Exception.format_exit(reason)}"
      {:DOWN, ref, _, _, reason} when ref == task.ref -> raise Exception.format_exit(reason)
    end
  end

  # A last transaction: when it is in the logs, everything before it is.
  defp catch_up(server, statistics, service) do
    lsn =
      server
      |> Server.psql!(
        "SELECT pg_current_wal_insert_lsn() - '0/0'; INSERT INTO projects (id) VALUES (0);"
      )
      |> String.trim()
      |> String.to_integer()

    wait_for(lsn, statistics, service, System.monotonic_time(:millisecond) + @catch_up_ms)
  end

  defp wait_for(lsn, statistics, service, deadline) do
    cond do
      Statistics.get(statistics).lsn > lsn ->
        :ok

      System.monotonic_time(:millisecond) > deadline ->
        raise "the service did not catch up in time"

      true ->
        receive do
          {:EXIT, ^service, reason} -> raise "the service ended: #{Exception.format_exit(reason)}"
        after
          50 -> wait_for(lsn, statistics, service, deadline)
        end
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

  # The slot would keep the WAL of a server that goes on.
  defp keep(server) do
    Server.psql!(server, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots;")
    IO.puts(["\n", Server.how_to_connect(server)])
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
