defmodule ShapeRouter.Demo.Http do
  @moduledoc "A client of HTTP/1.1 on a connection that is kept, made of what OTP has."

  @timeout 30_000

  @type response :: %{status: pos_integer(), headers: %{String.t() => String.t()}, body: binary()}

  @spec connect(:inet.port_number()) :: {:ok, :gen_tcp.socket()} | {:error, term()}
  def connect(port) do
    :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false, nodelay: true], @timeout)
  end

  @spec close(:gen_tcp.socket()) :: :ok
  def close(socket), do: :gen_tcp.close(socket)

  @doc "Asks, and takes the answer: all of it, or an error."
  @spec get(:gen_tcp.socket(), String.t()) :: {:ok, response()} | {:error, term()}
  def get(socket, target) do
    with :ok <- :gen_tcp.send(socket, ["GET ", target, " HTTP/1.1\r\nhost: demo\r\n\r\n"]),
         :ok <- :inet.setopts(socket, packet: :http_bin),
         {:ok, {:http_response, _version, status, _reason}} <-
           :gen_tcp.recv(socket, 0, @timeout),
         {:ok, headers} <- headers(socket, %{}),
         :ok <- :inet.setopts(socket, packet: :raw),
         {:ok, body} <- body(socket, headers) do
      {:ok, %{status: status, headers: headers, body: body}}
    else
      {:error, reason} -> {:error, reason}
      {:ok, other} -> {:error, other}
    end
  end

  defp headers(socket, headers) do
    case :gen_tcp.recv(socket, 0, @timeout) do
      {:ok, {:http_header, _, name, _, value}} ->
        headers(socket, Map.put(headers, name |> to_string() |> String.downcase(), value))

      {:ok, :http_eoh} ->
        {:ok, headers}

      {:ok, other} ->
        {:error, other}

      error ->
        error
    end
  end

  defp body(socket, %{"transfer-encoding" => "chunked"}), do: chunks(socket, [])

  defp body(socket, %{"content-length" => length}),
    do: exactly(socket, String.to_integer(length))

  defp exactly(_socket, 0), do: {:ok, ""}
  defp exactly(socket, length), do: :gen_tcp.recv(socket, length, @timeout)

  defp chunks(socket, done) do
    with :ok <- :inet.setopts(socket, packet: :line),
         {:ok, line} <- :gen_tcp.recv(socket, 0, @timeout),
         :ok <- :inet.setopts(socket, packet: :raw),
         size = line |> String.trim() |> String.to_integer(16),
         {:ok, piece} <- exactly(socket, size),
         {:ok, "\r\n"} <- exactly(socket, 2) do
      if size == 0,
        do: {:ok, IO.iodata_to_binary(Enum.reverse(done))},
        else: chunks(socket, [piece | done])
    end
  end
end
