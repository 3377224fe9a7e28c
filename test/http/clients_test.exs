defmodule ShapeRouter.HttpClientsTest do
  @moduledoc false
  # Programs that others wrote, against the embedded endpoint; and what the kernel sees of it.
  use ExUnit.Case, async: false

  import ShapeRouter.HttpClient, only: [connect: 2, send_request: 2, header: 2]

  alias ShapeRouter.Changes.{NewRecord, Transaction}
  alias ShapeRouter.{Endpoint, SealedChunk, ShapeLog, ShapeLogCollector}

  @moduletag :tmp_dir
  @moduletag timeout: 180_000
  @todos {"public", "todos"}
  @columns [columns: [id: :int8, title: :text], primary_key: [:id]]

  # A chunk of about 10 MiB.
  setup %{tmp_dir: dir} do
    collector =
      start_supervised!(
        {ShapeLogCollector, tables: [{"todos", @columns}], storage_dir: dir, gzip: true}
      )

    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", nil}, keys: [])
    title = Base.encode64(:crypto.strong_rand_bytes(1500))

    for lsn <- 1..11 do
      changes =
        for id <- 1..500,
            do: %NewRecord{
              relation: @todos,
              record: %{"id" => "#{lsn * 1000 + id}", "title" => title}
            }

      :ok =
        ShapeLogCollector.handle_transaction(collector, %Transaction{lsn: lsn, changes: changes})
    end

    {:ok, %{log: log}} = ShapeLogCollector.shape(collector, 1)
    {:ok, _} = SealedChunk.seal(log)
    [chunk | _] = SealedChunk.list(log)
    assert chunk.bytes > 10_000_000
    endpoint = start_supervised!({Endpoint, collector: collector, port: 0})
    port = Endpoint.port(endpoint)
    {:sendfile, path, 0, _, _} = ShapeLog.read(log, :before_all)
    :ok = ShapeLog.release()

    %{
      collector: collector,
      log: log,
      port: port,
      url: "http://127.0.0.1:#{port}/v1/shape?table=todos&offset=-1",
      path: path,
      chunk: chunk,
      endpoint: endpoint
    }
  end

  defp curl(args, dir) do
    {out, status} =
      System.cmd("curl", ["--silent", "--show-error", "--max-time", "60" | args],
        cd: dir,
        stderr_to_stdout: true
      )

    assert status == 0, out
    out
  end

  test "curl: whole, ranges, compressed, resumed, unchanged", context do
    %{tmp_dir: dir, url: url, path: path} = context
    whole = File.read!(path)
    curl(["-o", "whole", "-D", "headers", url], dir)
    assert File.read!(Path.join(dir, "whole")) == whole
    curl(["-o", "part", "-r", "1000-1999999", url], dir)
    assert File.read!(Path.join(dir, "part")) == binary_part(whole, 1000, 1_999_000)
    curl(["-o", "unzipped", "--compressed", "-D", "headers", url], dir)
    assert File.read!(Path.join(dir, "unzipped")) == whole
    assert File.read!(Path.join(dir, "headers")) =~ "content-encoding: gzip"
    # What broke off goes on.
    File.write!(Path.join(dir, "resumed"), binary_part(whole, 0, 5_000_000))
    curl(["-o", "resumed", "-C", "-", url], dir)
    assert File.read!(Path.join(dir, "resumed")) == whole

    assert curl(["-I", "-w", "%{http_code}", url], dir) =~
             ~r/content-length: #{byte_size(whole)}.*200$/s

    curl(["-o", "a", "--etag-save", "tag", url], dir)
    assert curl(["-o", "b", "--etag-compare", "tag", "-w", "%{http_code}", url], dir) == "304"
  end

  test "the kernel sends a sealed chunk; nobody reads the file", %{
    url: url,
    tmp_dir: dir,
    path: path
  } do
    trace = Path.join(dir, "trace")
    os_pid = System.pid()

    strace =
      Port.open({:spawn_executable, System.find_executable("strace")}, [
        :binary,
        :exit_status,
        :stderr_to_stdout,
        args: [
          "-f",
          "-y",
          "-p",
          os_pid,
          "-e",
          "trace=sendfile,read,pread64,readv,preadv,mmap",
          "-o",
          trace
        ]
      ])

    assert_receive {^strace, {:data, said}}, 10_000

    # Where nobody may trace a process (some containers), there is nothing to be seen.
    if said =~ "Operation not permitted",
      do: IO.puts("\nsendfile: no process may be traced here, so the kernel was not asked"),
      else: watch_kernel(strace, said, url, dir, trace, path)
  end

  defp watch_kernel(strace, said, url, dir, trace, path) do
    assert said =~ "attached"
    curl(["-o", "whole", url], dir)
    {:os_pid, pid} = Port.info(strace, :os_pid)
    System.cmd("kill", ["-INT", "#{pid}"])
    assert_receive {^strace, {:exit_status, _}}, 20_000

    lines = trace |> File.stream!() |> Enum.filter(&String.contains?(&1, Path.basename(path)))
    assert Enum.any?(lines, &(&1 =~ "sendfile("))

    sent =
      for line <- lines,
          [_, bytes] <- Regex.scan(~r/sendfile\(.*= (\d+)$/, String.trim(line)),
          do: String.to_integer(bytes)

    # strace splits what is interrupted into two lines; those are few.
    assert Enum.sum(sent) > 5_000_000
    refute Enum.any?(lines, &(&1 =~ ~r/ (read|pread64|readv|preadv|mmap)\(/)), Enum.join(lines)
  end

  test "wrk: no error under load", %{url: url, collector: collector} do
    {:ok, %{handle: handle}} = ShapeLogCollector.shape(collector, 1)
    newest = String.replace(url, "offset=-1", "offset=11_998&handle=#{handle}")

    for {url, seconds} <- [{url, 2}, {newest, 2}] do
      {out, 0} =
        System.cmd("wrk", ["-t1", "-c32", "-d#{seconds}s", "--timeout", "30s", url],
          stderr_to_stdout: true
        )

      refute out =~ "Socket errors", out
      refute out =~ "Non-2xx", out
      assert [_, requests] = Regex.run(~r/(\d+) requests in/, out)
      assert String.to_integer(requests) > 20, out
    end
  end

  test "a thousand stalled readers hold no chunk in memory", %{port: port, endpoint: endpoint} do
    {_, tasks, _, _} = endpoint |> Supervisor.which_children() |> List.keyfind(Task.Supervisor, 0)
    before = resident()

    sockets =
      for _ <- 1..1000 do
        socket = connect(port, recbuf: 2048)
        :ok = send_request(socket, "/v1/shape?table=todos&offset=-1")
        socket
      end

    assert eventually(fn -> length(Task.Supervisor.children(tasks)) == 1000 end)
    # Each has got its headers, and stands in the middle of the file.
    for socket <- sockets, do: {:ok, "HTTP/1.1 200 OK" <> _} = :gen_tcp.recv(socket, 17, 10_000)
    Process.sleep(500)
    grown = resident() - before
    assert grown < 50 * 1024 * 1024, "#{div(grown, 1024)} KiB more"
    # Those that go away are let go.
    Enum.each(sockets, &:gen_tcp.close/1)
    assert eventually(fn -> Task.Supervisor.children(tasks) == [] end)
  end

  test "a stream holds little of what it sends", %{collector: collector, port: port} do
    {:ok, %{handle: handle, log: log}} = ShapeLogCollector.shape(collector, 1)
    # In the middle of the chunk, and not in the cache any more.
    {:stream, pieces, headers} = ShapeLog.read(log, {1, 0})
    assert header(headers, "electric-offset")
    before = resident()

    {bytes, longest} =
      Enum.reduce(pieces, {0, 0}, fn piece, {sum, longest} ->
        {sum + byte_size(piece), max(longest, byte_size(piece))}
      end)

    assert bytes > 9_000_000 and longest < 200_000
    assert resident() - before < 20 * 1024 * 1024
    stalled = for _ <- 1..50, do: connect(port, recbuf: 2048)

    for socket <- stalled,
        do: :ok = send_request(socket, "/v1/shape?table=todos&offset=1_0&handle=#{handle}")

    for socket <- stalled, do: {:ok, "HTTP/1.1 200 OK" <> _} = :gen_tcp.recv(socket, 17, 10_000)
    assert resident() - before < 50 * 1024 * 1024
    Enum.each(stalled, &:gen_tcp.close/1)
  end

  # What the process has in memory of its own, in bytes: the page cache is not counted.
  defp resident do
    :erlang.garbage_collect()
    [_, kib] = Regex.run(~r/RssAnon:\s+(\d+) kB/, File.read!("/proc/self/status"))
    String.to_integer(kib) * 1024
  end

  defp eventually(check, tries \\ 300)
  defp eventually(_check, 0), do: false

  defp eventually(check, tries),
    do: check.() || (Process.sleep(20) && false) || eventually(check, tries - 1)
end
