if Code.ensure_loaded?(Plug.Conn) do
  defmodule ShapeRouter.Plug do
    @moduledoc """
    Serves shapes over HTTP in a host that has Plug, with what `ShapeRouter.Endpoint` says of addresses,
    headers and statuses. Sealed chunks go by `Plug.Conn.send_file/5`.

        forward "/", to: ShapeRouter.Plug, init_opts: [collector: MyApp.Collector]

    Options: `:collector` (required), `:live_timeout` in milliseconds (default 20,000), `:path` (default
    `"/v1/shape"`), under which the router forwards to it.
    """

    @behaviour Plug

    alias ShapeRouter.Http.{Api, Request}
    alias ShapeRouter.ShapeLog

    @impl true
    def init(opts) do
      opts = Keyword.validate!(opts, [:collector, live_timeout: 20_000, path: Api.path()])
      opts[:collector] || raise ArgumentError, "the option :collector is missing"
      Map.new(opts)
    end

    @impl true
    def call(conn, opts) do
      # To whoever asks, the path is where the host has put it.
      path = if conn.request_path == opts.path, do: Api.path(), else: conn.request_path

      request = %Request{
        method: conn.method,
        path: path,
        query: conn.query_string,
        headers: conn.req_headers
      }

      response = Api.respond(opts, request)

      conn
      |> Plug.Conn.merge_resp_headers(response.headers)
      |> deliver(response)
    after
      ShapeLog.release()
    end

    defp deliver(conn, %{status: status, body: :empty}), do: Plug.Conn.send_resp(conn, status, "")

    defp deliver(conn, %{status: status, body: {:binary, data}}),
      do: Plug.Conn.send_resp(conn, status, data)

    defp deliver(conn, %{status: status, body: {:file, path, position, length}}),
      do: Plug.Conn.send_file(conn, status, path, position, length)

    defp deliver(conn, %{status: status, body: {:stream, pieces}}) do
      Enum.reduce_while(pieces, Plug.Conn.send_chunked(conn, status), fn piece, conn ->
        case Plug.Conn.chunk(conn, piece) do
          {:ok, conn} -> {:cont, conn}
          {:error, _closed} -> {:halt, conn}
        end
      end)
    end
  end
end
