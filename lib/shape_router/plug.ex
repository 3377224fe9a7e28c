defmodule ShapeRouter.Plug do
  @moduledoc """
  Serves shapes over HTTP in a host that has Plug, with what `ShapeRouter.Endpoint` says of addresses,
  headers and statuses. Sealed chunks go by `Plug.Conn.send_file/5`.

      forward "/v1/shape", to: ShapeRouter.Plug, init_opts: [collector: MyApp.Collector]

  Options: `:collector` (required), `:live_timeout` in milliseconds (default 20,000), `:path`: the one path that
  it answers (default `"/v1/shape"`).

  Plug is the host's: this library does not depend on it, so the module is there in every host, and works
  in those that have Plug.
  """

  alias ShapeRouter.Http.{Api, Request}
  alias ShapeRouter.ShapeLog

  @doc "Checks the options; raises `ArgumentError` for those that are none."
  @spec init(keyword()) :: map()
  def init(opts) do
    opts = Keyword.validate!(opts, [:collector, live_timeout: 20_000, path: Api.path()])
    opts[:collector] || raise ArgumentError, "the option :collector is missing"
    Map.new(opts)
  end

  @doc "Answers a request."
  @spec call(struct(), map()) :: struct()
  def call(conn, opts) do
    # To whoever asks, the path is where the host has put it.
    path = if conn.request_path == opts.path, do: Api.path(), else: conn.request_path

    request = %Request{
      method: conn.method,
      path: path,
      query: conn.query_string,
      headers: conn.req_headers
    }

    service = %{collector: opts.collector, live_timeout: opts.live_timeout}
    response = Api.respond(service, request)

    :merge_resp_headers
    |> plug([conn, response.headers])
    |> deliver(response)
  after
    ShapeLog.release()
  end

  defp deliver(conn, %{status: status, body: :empty}), do: plug(:send_resp, [conn, status, ""])

  defp deliver(conn, %{status: status, body: {:binary, data}}),
    do: plug(:send_resp, [conn, status, data])

  defp deliver(conn, %{status: status, body: {:file, path, position, length}}),
    do: plug(:send_file, [conn, status, path, position, length])

  defp deliver(conn, %{status: status, body: {:stream, pieces}}) do
    Enum.reduce_while(pieces, plug(:send_chunked, [conn, status]), fn piece, conn ->
      case plug(:chunk, [conn, piece]) do
        {:ok, conn} -> {:cont, conn}
        {:error, _closed} -> {:halt, conn}
      end
    end)
  end

  # Not known when this is compiled.
  defp plug(function, args), do: apply(Plug.Conn, function, args)
end
