defmodule ShapeRouter.Http.Connection do
  @moduledoc false
  # One process, one connection: requests as they come, one after the other (HTTP/1.1 keep-alive and
  # pipelining; 1.0). The VM parses; what is served from a file goes by `ShapeRouter.Sendfile`.

  alias ShapeRouter.{Error, Sendfile, ShapeLog}
  alias ShapeRouter.Http.{Api, Request, Response}

  @type options :: %{
          service: Api.service(),
          idle_timeout: timeout(),
          send_timeout: timeout(),
          headers: [{String.t(), String.t()}]
        }

  @most_headers 100
  # A clause of 64 KiB, with each of its bytes escaped, is an address. On a longer line the VM closes the
  # connection by itself.
  @longest_line 262_144

  @doc "What a socket needs so that a connection can be served on it."
  @spec socket_options(timeout()) :: [:gen_tcp.option()]
  def socket_options(send_timeout) do
    [
      :binary,
      active: false,
      packet: :http_bin,
      packet_size: @longest_line,
      nodelay: true,
      send_timeout: send_timeout,
      send_timeout_close: true,
      # The kernel's buffer serves the file; nothing more of it waits in the VM.
      high_watermark: 65_536,
      reuseaddr: true
    ]
  end

  @spec serve(:gen_tcp.socket(), options()) :: :ok
  def serve(socket, options) do
    case request(socket, options) do
      {:ok, request, keep?} ->
        response = respond(request, options)
        sent = send_response(socket, response, request, keep?, options)
        if sent == :ok and keep?, do: serve(socket, options), else: close(socket)

      {:refuse, status, message} ->
        error = %Error{code: :bad_request, message: message}
        request = %Request{method: "GET", path: ""}
        _ = send_response(socket, Response.error(status, error), request, false, options)
        close(socket)

      :closed ->
        close(socket)
    end
  end

  @doc "Says that there are too many connections, and ends this one."
  @spec refuse(:gen_tcp.socket(), options()) :: :ok
  def refuse(socket, options) do
    error = %Error{code: :too_many_connections, message: "there are too many connections"}
    response = Response.error(503, error, [{"retry-after", "1"}])
    _ = send_response(socket, response, %Request{method: "GET", path: ""}, false, options)
    :gen_tcp.close(socket)
  end

  # Whatever goes wrong in an answer ends that answer, with words.
  defp respond(request, options) do
    Api.respond(options.service, request)
  rescue
    error ->
      message = Exception.message(error)
      Response.error(500, %Error{code: :internal, message: message})
  catch
    # The collector ended, or did not answer.
    :exit, reason ->
      Response.error(503, %Error{code: :closed, message: Exception.format_exit(reason)})
  end

  defp close(socket) do
    # What the client still sends must not become a reset that takes the answer with it.
    _ = :gen_tcp.shutdown(socket, :write)
    _ = :inet.setopts(socket, packet: :raw)
    _ = drain(socket, 4)
    :gen_tcp.close(socket)
  end

  defp drain(_socket, 0), do: :ok

  defp drain(socket, times) do
    case :gen_tcp.recv(socket, 0, 500) do
      {:ok, _} -> drain(socket, times - 1)
      {:error, _} -> :ok
    end
  end

  defp request(socket, options) do
    case :gen_tcp.recv(socket, 0, options.idle_timeout) do
      {:ok, {:http_request, method, target, version}} ->
        headers(socket, "#{method}", target, version, [], 0, options)

      # An empty line before a request is to be overlooked.
      {:ok, {:http_error, line}} when line in ["\r\n", "\n"] ->
        request(socket, options)

      {:ok, _} ->
        {:refuse, 400, "this is no request of HTTP/1.1"}

      {:error, _} ->
        :closed
    end
  end

  defp headers(_socket, _method, _target, _version, _headers, @most_headers, _options),
    do: {:refuse, 431, "there are more than #{@most_headers} headers"}

  defp headers(socket, method, target, version, headers, count, options) do
    case :gen_tcp.recv(socket, 0, options.idle_timeout) do
      {:ok, {:http_header, _, name, _, value}} ->
        header = {name |> to_string() |> String.downcase(), value}
        headers(socket, method, target, version, [header | headers], count + 1, options)

      {:ok, :http_eoh} ->
        finish(method, target, version, Enum.reverse(headers))

      {:ok, _} ->
        {:refuse, 400, "a header is malformed"}

      {:error, :timeout} ->
        {:refuse, 408, "the request did not come to its end"}

      {:error, _} ->
        :closed
    end
  end

  defp finish(method, target, version, headers) do
    with {:ok, path, query} <- target(target) do
      request = %Request{method: method, path: path, query: query, headers: headers}
      {:ok, request, keep?(request, version)}
    end
  end

  defp target({:abs_path, path}), do: {:ok, path_of(path), query_of(path)}
  defp target({:absoluteURI, _scheme, _host, _port, path}), do: target({:abs_path, path})
  defp target(_other), do: {:refuse, 400, "the address is not one of this server"}

  defp path_of(path), do: path |> String.split("?", parts: 2) |> hd()

  defp query_of(path) do
    case path |> String.split("#", parts: 2) |> hd() |> String.split("?", parts: 2) do
      [_path, query] -> query
      [_path] -> ""
    end
  end

  # A body belongs to no request that is known here; it is not read, so nothing can follow it.
  defp keep?(request, version) do
    body? =
      Request.header(request, "transfer-encoding") != nil or
        Request.header(request, "content-length") not in [nil, "0"]

    connection = request |> Request.header("connection") |> to_string() |> String.downcase()

    not body? and
      if(version >= {1, 1}, do: connection != "close", else: connection == "keep-alive")
  end

  defp send_response(socket, response, request, keep?, options) do
    {framing, body} = frame(response, request)
    connection = if keep?, do: "keep-alive", else: "close"
    headers = response.headers ++ framing ++ options.headers ++ [{"connection", connection}]
    head = ["HTTP/1.1 ", status(response.status), "\r\n", lines(headers), "\r\n"]

    case body do
      :empty -> :gen_tcp.send(socket, head)
      {:binary, data} -> :gen_tcp.send(socket, [head, data])
      {:stream, pieces} -> with :ok <- :gen_tcp.send(socket, head), do: stream(socket, pieces)
      {:file, path, position, length} -> file(socket, head, path, position, length, options)
    end
  after
    # The answer is out, or never will be: what it was read from may go.
    ShapeLog.release()
  end

  # A stream has no length: it comes in chunks.
  defp frame(%{body: {:stream, pieces}}, _request),
    do: {[{"transfer-encoding", "chunked"}], {:stream, pieces}}

  defp frame(%{body: body}, _request), do: {[], body}

  defp stream(socket, pieces) do
    sent =
      Enum.reduce_while(pieces, :ok, fn piece, :ok ->
        case IO.iodata_length(piece) do
          # An empty chunk would be the end.
          0 ->
            {:cont, :ok}

          size ->
            sent(:gen_tcp.send(socket, [Integer.to_string(size, 16), "\r\n", piece, "\r\n"]))
        end
      end)

    with :ok <- sent, do: :gen_tcp.send(socket, "0\r\n\r\n")
  end

  defp sent(:ok), do: {:cont, :ok}
  defp sent(error), do: {:halt, error}

  defp file(socket, head, path, position, length, options) do
    # The headers wait for the body's first bytes, so that they go in one packet.
    _ = :inet.setopts(socket, nopush: true)

    with :ok <- :gen_tcp.send(socket, head),
         {:ok, ^length} <-
           Sendfile.send_range(socket, path, position, length, timeout: options.send_timeout) do
      :inet.setopts(socket, nopush: false)
    else
      # Fewer bytes than were announced: the connection cannot go on.
      {:ok, _fewer} -> {:error, :closed}
      {:error, _} = error -> error
    end
  end

  defp lines(headers), do: Enum.map(headers, fn {name, value} -> [name, ": ", value, "\r\n"] end)

  for {status, reason} <- [
        {200, "OK"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {416, "Range Not Satisfiable"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"}
      ] do
    defp status(unquote(status)), do: unquote("#{status} #{reason}")
  end
end
