defmodule ShapeRouter.EndpointTest do
  use ExUnit.Case, async: true

  import ShapeRouter.HttpClient

  alias ShapeRouter.Changes.{NewRecord, Transaction}
  alias ShapeRouter.{Endpoint, SealedChunk, ShapeLogCollector}

  @moduletag :tmp_dir
  @todos {"public", "todos"}
  @columns [columns: [id: :int8, user_id: :int8, title: :text], primary_key: [:id]]
  @shape "table=todos&where=user_id%20%3D%205"

  setup %{tmp_dir: dir} do
    collector =
      start_supervised!(
        {ShapeLogCollector,
         tables: [{"todos", @columns}],
         storage_dir: dir,
         chunk_bytes_threshold: 100_000,
         gzip: true}
      )

    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", "user_id = 5"}, keys: [])

    endpoint =
      start_supervised!(
        {Endpoint, collector: collector, port: 0, live_timeout: 300, headers: [{"x-test", "1"}]}
      )

    %{collector: collector, port: Endpoint.port(endpoint)}
  end

  defp fill(collector, from, to, size \\ 10) do
    changes =
      for id <- from..to,
          do: %NewRecord{
            relation: @todos,
            record: %{"id" => "#{id}", "user_id" => "5", "title" => String.duplicate("x", size)}
          }

    :ok =
      ShapeLogCollector.handle_transaction(collector, %Transaction{
        lsn: 1000 + to,
        changes: changes
      })
  end

  defp log(collector) do
    {:ok, %{log: log}} = ShapeLogCollector.shape(collector, 1)
    log
  end

  # Three chunks, and something behind them.
  defp fill_chunks(collector) do
    for n <- 0..3, do: fill(collector, n * 100 + 1, n * 100 + 100, 1000)
    {:ok, _} = SealedChunk.seal(log(collector))
    :ok
  end

  defp ids(bodies) do
    for {_, body} <- bodies,
        [_, id] <- Regex.scan(~r/"value":\{"id":"(\d+)"/, body),
        do: String.to_integer(id)
  end

  test "a shape is read from the beginning, and on from where that ended", %{
    collector: collector,
    port: port
  } do
    {200, headers, "[]"} = get(port, "/v1/shape?#{@shape}&offset=-1")
    assert header(headers, "electric-offset") == "0_0"
    assert header(headers, "electric-up-to-date") == ""
    assert header(headers, "x-test") == "1"
    assert header(headers, "content-type") =~ "application/json"

    assert header(headers, "electric-schema") ==
             ~s({"id":{"type":"int8","pk_index":0},"user_id":{"type":"int8"},"title":{"type":"text"}})

    handle = header(headers, "electric-handle")

    fill(collector, 1, 3)
    {200, headers, body} = get(port, "/v1/shape?#{@shape}&offset=0_0&handle=#{handle}")
    assert ids([{:any, body}]) == [1, 2, 3]

    assert body =~
             ~s({"key":"\\"public\\".\\"todos\\"/\\"1\\"","value":{"id":"1","title":"xxxxxxxxxx","user_id":"5"},"headers":{"operation":"insert","relation":["public","todos"],"lsn":"1003","op_position":0}})

    next = header(headers, "electric-offset")
    {200, _, "[]"} = get(port, "/v1/shape?#{@shape}&offset=#{next}&handle=#{handle}")
  end

  test "files, the cache and streams give the same", %{collector: collector, port: port} do
    fill_chunks(collector)
    {bodies, _} = follow(port, @shape)
    assert ids(bodies) == Enum.to_list(1..400)
    assert Enum.count(bodies, &match?({:file, _}, &1)) >= 3
    # In the middle of a chunk.
    {:ok, %{handle: handle}} = ShapeLogCollector.shape(collector, 1)
    {bodies, _} = follow(port, @shape, "1100_100", handle)
    assert ids(bodies) == Enum.to_list(52..400)
  end

  test "conditions, ranges, HEAD and gzip", %{collector: collector, port: port} do
    fill_chunks(collector)
    path = "/v1/shape?#{@shape}&offset=-1"
    {200, headers, body} = get(port, path)
    size = byte_size(body)
    tag = header(headers, "etag")
    assert header(headers, "accept-ranges") == "bytes"

    assert {304, headers, ""} = get(port, path, [{"if-none-match", tag}])
    assert header(headers, "etag") == tag
    assert {304, _, ""} = get(port, path, [{"if-none-match", ~s("other", W/#{tag})}])
    assert {200, _, ^body} = get(port, path, [{"if-none-match", ~s("other")}])

    assert {206, headers, part} = get(port, path, [{"range", "bytes=10-19"}])
    assert part == binary_part(body, 10, 10)
    assert header(headers, "content-range") == "bytes 10-19/#{size}"
    assert {206, _, part} = get(port, path, [{"range", "bytes=-5"}])
    assert part == binary_part(body, size - 5, 5)
    assert {206, _, part} = get(port, path, [{"range", "bytes=#{size - 3}-"}, {"if-range", tag}])
    assert part == binary_part(body, size - 3, 3)
    assert {200, _, ^body} = get(port, path, [{"range", "bytes=0-1"}, {"if-range", ~s("other")}])
    assert {200, _, ^body} = get(port, path, [{"range", "bytes=5-2"}])
    assert {416, headers, error} = get(port, path, [{"range", "bytes=#{size}-"}])
    assert header(headers, "content-range") == "bytes */#{size}"
    assert error =~ "range_not_satisfiable"

    assert {200, headers, ""} = get(port, path, [], "HEAD")
    assert header(headers, "content-length") == "#{size}"
    assert {200, headers, zipped} = get(port, path, [{"accept-encoding", "br, gzip;q=0.5"}])
    assert header(headers, "content-encoding") == "gzip"
    assert header(headers, "vary") == "accept-encoding"
    assert :zlib.gunzip(zipped) == body
    assert {200, headers, ^body} = get(port, path, [{"accept-encoding", "gzip;q=0"}])
    assert header(headers, "content-encoding") == nil
  end

  test "what is wrong is said", %{collector: collector, port: port} do
    {:ok, %{handle: handle}} = ShapeLogCollector.shape(collector, 1)

    for {path, status, word} <- [
          {"/", 404, "not_found"},
          {"/v1/shape?where=a&offset=-1", 400, "table"},
          {"/v1/shape?table=todos", 400, "offset"},
          {"/v1/shape?table=todos&offset=1", 400, "offset"},
          {"/v1/shape?table=todos&offset=0_0", 400, "handle"},
          {"/v1/shape?table=todos&offset=-1&live=true", 400, "live"},
          {"/v1/shape?#{@shape}&offset=0_0&handle=#{handle}&live=maybe", 400, "live"},
          {"/v1/shape?table=%ff&offset=-1", 400, "query"},
          {"/v1/shape?table=todos&offset=-1", 404, "unknown_shape"},
          {"/v1/shape?table=..%2f..%2fetc%2fpasswd&offset=-1", 404, "unknown_shape"},
          {"/v1/shape?#{@shape}&offset=99_0&handle=#{handle}", 400, "offset_ahead"},
          {"/v1/shape?#{@shape}&offset=0_0&handle=other", 409, "must-refetch"},
          {"/v1/shape?table=nothing&offset=0_0&handle=#{handle}", 409, "must-refetch"}
        ] do
      assert {^status, headers, body} = get(port, path)
      assert body =~ word, "#{path}: #{body}"
      assert header(headers, "content-type") =~ "application/json"
      assert header(headers, "cache-control") == "no-store"
    end

    {409, headers, _} = get(port, "/v1/shape?#{@shape}&offset=0_0&handle=other")
    assert header(headers, "electric-handle") == handle

    assert {405, headers, _} =
             get(port, "/v1/shape?#{@shape}&offset=-1", [{"content-length", "0"}], "POST")

    assert header(headers, "allow") == "GET, HEAD"
    assert {404, _, ""} = get(port, "/nothing", [], "HEAD")

    :ok = ShapeLogCollector.remove_shape(collector, 1)
    assert {409, _, _} = get(port, "/v1/shape?#{@shape}&offset=0_0&handle=#{handle}")
    stop_supervised!(ShapeLogCollector)
    assert {503, _, _} = get(port, "/v1/shape?#{@shape}&offset=-1")
  end

  test "live requests wait", %{collector: collector, port: port} do
    {:ok, %{handle: handle}} = ShapeLogCollector.shape(collector, 1)
    path = "/v1/shape?#{@shape}&offset=0_0&handle=#{handle}&live=true"
    started = System.monotonic_time(:millisecond)
    assert {200, headers, "[]"} = get(port, path)
    assert System.monotonic_time(:millisecond) - started >= 300
    assert header(headers, "electric-up-to-date") == ""

    # They are answered when there is something, and not when their time is over.
    patient =
      start_supervised!({Endpoint, collector: collector, port: 0, live_timeout: 60_000},
        id: :patient
      )

    waiting = for _ <- 1..20, do: Task.async(fn -> get(Endpoint.port(patient), path) end)
    Process.sleep(50)
    fill(collector, 1, 1)
    answers = Task.await_many(waiting, 30_000)

    for answer <- answers do
      assert {200, _, body} = answer
      assert ids([{:any, body}]) == [1]
    end
  end

  test "a connection serves many requests, also sent at once", %{collector: collector, port: port} do
    fill_chunks(collector)
    socket = connect(port)
    path = "/v1/shape?#{@shape}&offset=-1"
    for _ <- 1..3, do: :ok = send_request(socket, path)
    :ok = send_request(socket, "/nothing")
    for _ <- 1..3, do: assert({200, _, "[{" <> _} = receive_response(socket))
    assert {404, _, _} = receive_response(socket)
    :ok = :gen_tcp.send(socket, "GET #{path} HTTP/1.0\r\n\r\n")
    {200, headers, _} = receive_response(socket)
    assert header(headers, "connection") == "close"
    assert {:error, :closed} = :gen_tcp.recv(socket, 0, 1000)
  end

  test "what is no HTTP is refused, and the next connection served", %{port: port} do
    for {bytes, status} <- [
          {"hello\r\n\r\n", 400},
          {"GET /v1/shape HTTP/1.1\r\nno header\r\n\r\n", 400},
          {"GET /#{String.duplicate("a", 200_000)} HTTP/1.1\r\n\r\n", 404},
          {["GET / HTTP/1.1\r\n", for(n <- 1..200, do: "h#{n}: 1\r\n"), "\r\n"], 431},
          {"CONNECT a:1 HTTP/1.1\r\n\r\n", 400}
        ] do
      socket = connect(port)
      :ok = :gen_tcp.send(socket, bytes)
      assert {^status, _, _} = receive_response(socket)
    end

    socket = connect(port)
    _ = :gen_tcp.send(socket, ["GET /", String.duplicate("a", 300_000), " HTTP/1.1\r\n\r\n"])
    assert {:error, _} = :gen_tcp.recv(socket, 0, 5000)
    assert {404, _, _} = get(port, "/nothing")
  end

  test "a removal waits for those who are sent the file", %{
    collector: collector,
    port: port,
    tmp_dir: dir
  } do
    fill_chunks(collector)
    [chunk | _] = SealedChunk.list(log(collector))
    path = "/v1/shape?#{@shape}&offset=-1"
    socket = connect(port, recbuf: 4096)
    :ok = send_request(socket, path)
    {:ok, first} = :gen_tcp.recv(socket, 100, 5000)
    :ok = SealedChunk.delete(log(collector), chunk.seq)
    {:ok, rest} = :gen_tcp.recv(socket, chunk.bytes, 5000)
    assert byte_size(first <> rest) >= chunk.bytes
    :gen_tcp.close(socket)
    name = Path.join(dir, "**/#{String.pad_leading("#{chunk.seq}", 6, "0")}.*.json")
    assert eventually(fn -> Path.wildcard(name) == [] end)
  end

  test "there are no more connections than allowed", %{collector: collector} do
    endpoint =
      start_supervised!({Endpoint, collector: collector, port: 0, max_connections: 2}, id: :small)

    port = Endpoint.port(endpoint)
    held = for _ <- 1..2, do: connect(port)
    Process.sleep(50)
    assert {503, _, _} = get(port, "/nothing")
    Enum.each(held, &:gen_tcp.close/1)
    assert eventually(fn -> match?({404, _, _}, get(port, "/nothing")) end)
  end

  test "a client that does not read is let go", %{collector: collector} do
    fill(collector, 1, 2000, 5000)
    {:ok, _} = SealedChunk.seal(log(collector))

    endpoint =
      start_supervised!({Endpoint, collector: collector, port: 0, send_timeout: 300}, id: :hasty)

    socket = connect(Endpoint.port(endpoint), recbuf: 4096)
    :ok = send_request(socket, "/v1/shape?#{@shape}&offset=-1")
    {_, tasks, _, _} = endpoint |> Supervisor.which_children() |> List.keyfind(Task.Supervisor, 0)
    assert eventually(fn -> Task.Supervisor.children(tasks) != [] end)
    assert eventually(fn -> Task.Supervisor.children(tasks) == [] end, 200)
  end

  defp eventually(check, tries \\ 100)
  defp eventually(_check, 0), do: false

  defp eventually(check, tries),
    do: check.() || (Process.sleep(20) && false) || eventually(check, tries - 1)
end
