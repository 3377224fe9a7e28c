defmodule ShapeRouter.Demo.Reader do
  @moduledoc """
  Reads shapes over HTTP as a client does: from the beginning, from offset to offset until there is
  nothing more, and live.

  How an answer was served can be seen by its headers: only files are allowed to be kept by proxies, only
  streams come without a length. Answers without any message are counted apart.
  """

  alias ShapeRouter.Demo.{Copy, Http}

  @kinds [:cache, :sendfile, :stream, :empty]
  @patience_ms 90_000

  @enforce_keys [:copy, :port]
  defstruct [
    :copy,
    :port,
    :handle,
    :socket,
    offset: "-1",
    up_to_date?: false,
    bytes: 0,
    answers: %{},
    reconnects: 0,
    refetches: 0
  ]

  @type t :: %__MODULE__{}

  def kinds, do: @kinds

  @doc "A reader that has read nothing."
  @spec new(struct(), :inet.port_number(), keyword()) :: t()
  def new(shape, port, opts \\ []) do
    copy = Copy.new(shape, Keyword.get(opts, :break, 0))
    %__MODULE__{copy: copy, port: port, socket: opts[:socket]}
  end

  @doc "Reads on until there is nothing more."
  @spec read_all(t()) :: t()
  def read_all(reader) do
    reader = ask(reader, false)
    if reader.up_to_date?, do: reader, else: read_all(reader)
  end

  @doc "One answer; `live?` waits for something new."
  @spec ask(t(), boolean()) :: t()
  def ask(reader, live?), do: ask(reader, live?, now() + @patience_ms)

  defp ask(%{socket: nil} = reader, live?, deadline) do
    case Http.connect(reader.port) do
      {:ok, socket} -> ask(%{reader | socket: socket}, live?, deadline)
      {:error, reason} -> again(reader, live?, deadline, reason)
    end
  end

  defp ask(reader, live?, deadline) do
    case Http.get(reader.socket, target(reader, live?)) do
      {:ok, %{status: 200} = response} ->
        taken(reader, response)

      # The log that it read is gone: it must not be, nobody removes shapes here.
      {:ok, %{status: 409}} ->
        raise "shape #{reader.copy.shape.id} was to be fetched anew"

      {:ok, %{status: 503}} ->
        reader |> disconnected() |> again(live?, deadline, 503)

      {:ok, %{status: status, body: body}} ->
        raise "shape #{reader.copy.shape.id} at #{reader.offset}: #{status} #{body}"

      # The service was killed: what came of an answer is forgotten, and asked for again.
      {:error, reason} ->
        reader |> disconnected() |> again(live?, deadline, reason)
    end
  end

  defp disconnected(reader) do
    Http.close(reader.socket)
    %{reader | socket: nil, reconnects: reader.reconnects + 1}
  end

  defp again(reader, live?, deadline, reason) do
    if now() > deadline, do: raise("the service does not answer: #{inspect(reason)}")
    Process.sleep(50)
    ask(reader, live?, deadline)
  end

  defp target(reader, live?) do
    %{table: table, where: where} = reader.copy.shape

    parameters =
      for {name, value} <- [
            table: table,
            where: where,
            offset: reader.offset,
            handle: reader.handle,
            live: if(live? and reader.handle, do: "true")
          ],
          value != nil,
          do: {name, value}

    "/v1/shape?" <> URI.encode_query(parameters)
  end

  defp taken(reader, %{headers: headers, body: body}) do
    %{
      reader
      | copy: Copy.apply_body(reader.copy, body),
        handle: Map.fetch!(headers, "electric-handle"),
        offset: Map.fetch!(headers, "electric-offset"),
        up_to_date?: is_map_key(headers, "electric-up-to-date"),
        bytes: reader.bytes + byte_size(body),
        answers: Map.update(reader.answers, kind(headers, body), 1, &(&1 + 1))
    }
  end

  defp kind(_headers, "[]"), do: :empty
  defp kind(%{"transfer-encoding" => _}, _body), do: :stream
  defp kind(%{"cache-control" => "public" <> _}, _body), do: :sendfile
  defp kind(_headers, _body), do: :cache

  defp now, do: System.monotonic_time(:millisecond)
end
