defmodule ShapeRouter.WalDecoder do
  @moduledoc """
  Follows one replication connection for `ShapeRouter.route_wal/4` and `ShapeRouter.route_wal_txn/4`.

  It knows the tables that the connection's Relation messages defined, and whether the connection is
  inside a streamed block: so it has to see every message, in the order in which they came, and a new
  connection needs a new decoder. So does one that met an error.

  A table is known by its OID. It is the one that a router is for (the name given to
  `ShapeRouter.new/3`: `"todos"` is `public.todos`, `"app.todos"` is in the schema `app`) when it was
  the last to be announced under that name; it still is after it is renamed, until another table takes
  the name.

  One process at a time uses a decoder; another one that tries is refused with `:invalid_argument`.
  """

  alias ShapeRouter.{Error, Native, Options}

  @opaque t :: reference()

  @doc """
  A decoder for what `START_REPLICATION` asked for.

  Options:

    * `:protocol` - its `proto_version`, from 1 to 4 (default 1)
    * `:streaming` - its `streaming`: `:off` (default), `:on` (from protocol 2), `:parallel` (from 4)
  """
  @spec new(keyword()) :: {:ok, t()} | {:error, Error.t()}
  def new(opts \\ []) do
    with {:ok, opts} <- Options.merge(opts, protocol: 1, streaming: :off),
         :ok <- known(opts) do
      Native.wal_decoder_new(opts.protocol, opts.streaming) |> Error.result()
    end
  end

  defp known(%{protocol: protocol, streaming: streaming})
       when protocol in 1..4 and streaming in [:off, :on, :parallel],
       do: :ok

  defp known(%{protocol: protocol}) when protocol in 1..4,
    do: Error.argument("streaming is none of :off, :on, :parallel")

  defp known(%{protocol: protocol}),
    do: Error.argument("protocol is not between 1 and 4: #{inspect(protocol)}")
end
