defmodule ShapeRouter.Endpoint do
  @moduledoc """
  Serves shapes over HTTP, for hosts without a web server of their own; `ShapeRouter.Plug` is for the
  others. It is made of OTP's own parts, and sealed chunks go out by the kernel's `sendfile`.

      children = [
        {ShapeRouter.ShapeLogCollector, name: MyApp.Collector, tables: [...], storage_dir: "data"},
        {ShapeRouter.Endpoint, collector: MyApp.Collector, port: 3000}
      ]

  `GET /v1/shape?table=todos&where=user_id%20%3D%205&offset=-1` answers with a JSON array, and in headers:

  | header | meaning |
  |---|---|
  | `electric-handle` | names this log of the shape: to be sent as `handle=` with what follows |
  | `electric-offset` | the offset to go on from: `offset=` of the next request |
  | `electric-up-to-date` | there is nothing after that at the moment |
  | `electric-schema` | the columns and their types, as a JSON object |

  `live=true` waits until there is something new. Conditions (`If-None-Match`), byte ranges, `HEAD` and
  `Accept-Encoding: gzip` are answered as RFC 9110 says.

  | status | when |
  |---|---|
  | 400 | a parameter is missing or malformed |
  | 404 | no such table, or nobody added this shape |
  | 405 | another method than GET or HEAD |
  | 409 | the handle is not (or no longer) the shape's: begin again with `offset=-1` |
  | 416 | the range begins behind the end |
  | 503 | the collector is not there, or there are `:max_connections` connections |

  Errors are JSON objects: `{"error": code, "message": text}`.
  """

  use Supervisor

  alias ShapeRouter.{Error, Options}
  alias ShapeRouter.Http.{Connection, Listener}

  @defaults [
    collector: nil,
    name: nil,
    port: 3000,
    ip: {127, 0, 0, 1},
    headers: [],
    live_timeout: 20_000,
    idle_timeout: 60_000,
    send_timeout: 60_000,
    max_connections: 16_384,
    acceptors: 4
  ]

  @doc """
  Starts it. Options:

    * `:collector` - the `ShapeRouter.ShapeLogCollector` whose shapes are served (required)
    * `:port` - default 3000; 0: any free one, see `port/1`
    * `:ip` - the address to listen on (default `{127, 0, 0, 1}`: this machine only)
    * `:headers` - `[{name, value}]` that every response carries, for CORS and the like
    * `:live_timeout` - how long `live=true` waits, in milliseconds (default 20,000)
    * `:idle_timeout` - how long a connection may be silent (default 60,000)
    * `:send_timeout` - how long a client may take for what is sent at once, at most 1 MiB
      (default 60,000)
    * `:max_connections` - default 16,384
    * `:acceptors` - processes that accept (default 4)
    * `:name` - as in `Supervisor.start_link/3`
  """
  @spec start_link(keyword()) :: Supervisor.on_start() | {:error, Error.t()}
  def start_link(opts) do
    with {:ok, opts} <- Options.merge(opts, @defaults), :ok <- collector(opts) do
      Supervisor.start_link(__MODULE__, opts, if(opts.name, do: [name: opts.name], else: []))
    end
  end

  @doc "The port that it listens on."
  @spec port(Supervisor.supervisor()) :: :inet.port_number()
  def port(endpoint) do
    {_, listener, _, _} = endpoint |> Supervisor.which_children() |> List.keyfind(Listener, 0)

    Listener.port(listener)
  end

  @impl true
  def init(opts) do
    connection = %{
      service: %{collector: opts.collector, live_timeout: opts.live_timeout},
      idle_timeout: opts.idle_timeout,
      send_timeout: opts.send_timeout,
      headers: opts.headers
    }

    listen = [ip: opts.ip, backlog: 1024] ++ Connection.socket_options(opts.send_timeout)
    me = self()

    Supervisor.init(
      [
        {Task.Supervisor, max_children: opts.max_connections},
        {Listener,
         port: opts.port,
         listen: listen,
         acceptors: opts.acceptors,
         supervisor: fn -> child(me, Task.Supervisor) end,
         serve: &Connection.serve(&1, connection),
         full: &Connection.refuse(&1, connection)}
      ],
      strategy: :one_for_all
    )
  end

  defp child(supervisor, id) do
    {_, pid, _, _} = supervisor |> Supervisor.which_children() |> List.keyfind(id, 0)
    pid
  end

  defp collector(%{collector: nil}), do: Error.argument("the option :collector is missing")
  defp collector(_opts), do: :ok
end
