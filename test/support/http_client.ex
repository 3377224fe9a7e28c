defmodule ShapeRouter.HttpClient do
  @moduledoc false
  # Speaks HTTP over a socket of its own, so that a test sees what is on the wire.

  def connect(port, opts \\ []) do
    {:ok, socket} =
      :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false, packet: :raw] ++ opts)

    socket
  end

  @doc "One request on a connection of its own: `{status, headers, body}`."
  def get(port, path, headers \\ [], method \\ "GET") do
    socket = connect(port)
    :ok = send_request(socket, path, headers, method)
    response = receive_response(socket, method)
    :gen_tcp.close(socket)
    response
  end

  def send_request(socket, path, headers \\ [], method \\ "GET") do
    lines = for {name, value} <- [{"host", "test"} | headers], do: [name, ": ", value, "\r\n"]
    :gen_tcp.send(socket, [method, " ", path, " HTTP/1.1\r\n", lines, "\r\n"])
  end

  def receive_response(socket, method \\ "GET") do
    :ok = :inet.setopts(socket, packet: :http_bin)
    {:ok, {:http_response, _, status, _}} = :gen_tcp.recv(socket, 0, 30_000)
    headers = receive_headers(socket, [])
    :ok = :inet.setopts(socket, packet: :raw)
    {status, headers, receive_body(socket, method, status, headers)}
  end

  defp receive_headers(socket, headers) do
    case :gen_tcp.recv(socket, 0, 30_000) do
      {:ok, {:http_header, _, name, _, value}} ->
        receive_headers(socket, [{name |> to_string() |> String.downcase(), value} | headers])

      {:ok, :http_eoh} ->
        Enum.reverse(headers)
    end
  end

  defp receive_body(_socket, "HEAD", _status, _headers), do: ""
  defp receive_body(_socket, _method, 304, _headers), do: ""

  defp receive_body(socket, _method, _status, headers) do
    case {header(headers, "content-length"), header(headers, "transfer-encoding")} do
      {length, nil} -> receive_exactly(socket, String.to_integer(length))
      {nil, "chunked"} -> socket |> receive_chunks([]) |> IO.iodata_to_binary()
    end
  end

  defp receive_exactly(_socket, 0), do: ""

  defp receive_exactly(socket, length) do
    {:ok, bytes} = :gen_tcp.recv(socket, length, 30_000)
    bytes
  end

  defp receive_chunks(socket, done) do
    :ok = :inet.setopts(socket, packet: :line)
    {:ok, line} = :gen_tcp.recv(socket, 0, 30_000)
    :ok = :inet.setopts(socket, packet: :raw)

    case line |> String.trim() |> String.to_integer(16) do
      0 ->
        "\r\n" = receive_exactly(socket, 2)
        Enum.reverse(done)

      size ->
        piece = receive_exactly(socket, size)
        "\r\n" = receive_exactly(socket, 2)
        receive_chunks(socket, [piece | done])
    end
  end

  def header(headers, name), do: with({_, value} <- List.keyfind(headers, name, 0), do: value)

  @doc "Follows a shape to its end: the bodies, and the last headers."
  def follow(port, query, offset \\ "-1", handle \\ nil, done \\ []) do
    handles = if handle, do: "&handle=#{handle}", else: ""
    {200, headers, body} = get(port, "/v1/shape?#{query}&offset=#{offset}#{handles}")
    next = header(headers, "electric-offset")
    done = [{path(headers), body} | done]

    if header(headers, "electric-up-to-date"),
      do: {Enum.reverse(done), headers},
      else: follow(port, query, next, header(headers, "electric-handle"), done)
  end

  # A file says what it is by the way it may be cached.
  defp path(headers) do
    cond do
      header(headers, "transfer-encoding") -> :stream
      header(headers, "cache-control") =~ "public" -> :file
      true -> :cached
    end
  end
end
