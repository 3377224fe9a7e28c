defmodule ShapeRouter.Http.Api do
  @moduledoc false
  # What `GET /v1/shape` means, for the embedded endpoint and for Plug alike: a request in, a response
  # out.

  alias ShapeRouter.{Error, ShapeLog, ShapeLogCollector}
  alias ShapeRouter.Http.{Request, Response}

  @path "/v1/shape"
  @must_refetch ~s([{"headers":{"control":"must-refetch"}}])

  @type service :: %{collector: GenServer.server(), live_timeout: pos_integer()}

  @doc "The path that is served."
  @spec path() :: String.t()
  def path, do: @path

  @spec respond(service(), Request.t()) :: Response.t()
  def respond(service, %Request{path: @path, method: method} = request)
      when method in ["GET", "HEAD"] do
    case asked(request) do
      {:ok, asked} -> serve(service, request, asked)
      {:error, error} -> Response.error(400, error)
    end
    |> Response.without_body(request)
  end

  def respond(_service, %Request{path: @path, method: method}) do
    message = "#{method} means nothing here: shapes are read with GET or HEAD"

    Response.error(405, %Error{code: :method_not_allowed, message: message}, [
      {"allow", "GET, HEAD"}
    ])
  end

  def respond(_service, request) do
    message = "there is nothing at #{inspect(request.path)}; shapes are at #{@path}"

    request
    |> then(
      &(Response.error(404, %Error{code: :not_found, message: message})
        |> Response.without_body(&1))
    )
  end

  # What the address asks for, checked before anything is looked up.
  defp asked(request) do
    with {:ok, params} <- params(request),
         {:ok, table} <- required(params, "table"),
         {:ok, offset} <- offset(params),
         {:ok, handle} <- handle(params, offset),
         {:ok, live?} <- live(params, offset) do
      where = if params["where"] == "", do: nil, else: params["where"]
      {:ok, %{table: table, where: where, offset: offset, handle: handle, live?: live?}}
    end
  end

  defp params(request) do
    with :error <- Request.params(request),
         do: bad("the query is not one: #{inspect(request.query)}")
  end

  defp required(params, name) do
    case params do
      %{^name => value} when value != "" -> {:ok, value}
      _ -> bad("the parameter #{name} is missing")
    end
  end

  # All of the shape, or what came after an offset.
  defp offset(params) do
    with {:ok, text} <- required(params, "offset") do
      case ShapeLog.parse_offset(text) do
        {:ok, offset} -> {:ok, offset}
        :error -> bad("offset=#{inspect(text)} is neither -1 nor <tx>_<op>")
      end
    end
  end

  defp handle(params, offset) do
    case params["handle"] do
      handle when handle in [nil, ""] and offset == :before_all ->
        {:ok, nil}

      handle when handle in [nil, ""] ->
        bad("an offset belongs to a handle: the parameter handle is missing")

      handle ->
        {:ok, handle}
    end
  end

  defp live(params, offset) do
    case params["live"] do
      absent when absent in [nil, "", "false"] -> {:ok, false}
      "true" when offset != :before_all -> {:ok, true}
      "true" -> bad("live=true waits for what comes after an offset; -1 is none")
      other -> bad("live=#{inspect(other)} is neither true nor false")
    end
  end

  defp bad(message), do: {:error, %Error{code: :bad_request, message: message}}

  defp serve(service, request, asked) do
    case ShapeLogCollector.find_shape(service.collector, asked.table, asked.where) do
      {:ok, shape} when asked.handle in [nil, shape.handle] ->
        deadline = System.monotonic_time(:millisecond) + service.live_timeout
        read(service, request, asked, shape, deadline)

      {:ok, shape} ->
        must_refetch([{"electric-handle", shape.handle}])

      {:error, %Error{code: :unknown_shape}} when asked.handle != nil ->
        must_refetch([])

      {:error, %Error{code: code} = error} when code in [:unknown_table, :unknown_shape] ->
        Response.error(404, error)

      {:error, error} ->
        Response.error(status(error), error)
    end
  end

  defp read(service, request, asked, shape, deadline) do
    case ShapeLog.read(shape.log, asked.offset, gzip: Request.gzip?(request)) do
      {:error, %Error{code: code}} when code in [:unknown_shape, :compacted] ->
        must_refetch([])

      {:error, error} ->
        Response.error(status(error), error)

      answer ->
        if asked.live? and nothing_new?(answer, asked.offset) do
          wait(service, request, asked, shape, deadline, answer)
        else
          Response.from_answer(answer, request, headers(shape))
        end
    end
  end

  # Between the reading and the waiting nothing is missed: who waits is told at once of what is newer
  # than the offset.
  defp wait(service, request, asked, shape, deadline, answer) do
    left = deadline - System.monotonic_time(:millisecond)

    case left > 0 and ShapeLogCollector.await(service.collector, shape.id, asked.offset, left) do
      :changed -> read(service, request, asked, shape, deadline)
      :removed -> must_refetch([])
      _timeout -> Response.from_answer(answer, request, headers(shape))
    end
  end

  defp nothing_new?({:cached, "[]", headers}, _offset),
    do: List.keymember?(headers, "electric-up-to-date", 0)

  defp nothing_new?(_answer, _offset), do: false

  defp headers(shape), do: [{"electric-handle", shape.handle}, {"electric-schema", shape.schema}]

  defp must_refetch(headers) do
    Response.json(409, @must_refetch, [{"cache-control", "no-store"} | headers])
  end

  defp status(%Error{code: code}) when code in [:invalid_argument, :offset_ahead], do: 400
  defp status(%Error{code: :closed}), do: 503
  defp status(_error), do: 500
end
