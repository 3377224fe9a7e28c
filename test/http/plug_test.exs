defmodule ShapeRouter.PlugTest do
  @moduledoc false
  # Hosts bring Plug; here is a stand-in with the functions that are called of it, which do what Plug's
  # documentation says.
  use ExUnit.Case, async: false

  alias ShapeRouter.Changes.{NewRecord, Transaction}
  alias ShapeRouter.{SealedChunk, ShapeLogCollector}

  @moduletag :tmp_dir

  setup_all do
    Code.compile_string("""
    defmodule Plug.Conn do
      defstruct method: "GET", request_path: "/", query_string: "", req_headers: [], resp_headers: [], sent: nil

      def merge_resp_headers(conn, headers) do
        for {name, _} <- headers, name != String.downcase(name), do: raise("a name in upper case")
        %{conn | resp_headers: Enum.reduce(headers, conn.resp_headers, &List.keystore(&2, elem(&1, 0), 0, &1))}
      end

      def send_resp(%{sent: nil} = conn, status, body), do: %{conn | sent: {status, IO.iodata_to_binary(body)}}

      def send_file(%{sent: nil} = conn, status, path, position, length) do
        {:ok, file} = :file.open(path, [:raw, :read, :binary])
        {:ok, body} = :file.pread(file, position, length)
        %{conn | sent: {status, {:file, body}}}
      end

      def send_chunked(%{sent: nil} = conn, status), do: %{conn | sent: {status, ""}}
      def chunk(%{sent: {_, body}} = conn, _) when byte_size(body) > 200_000, do: {:error, conn && :closed}
      def chunk(%{sent: {status, body}} = conn, piece), do: {:ok, %{conn | sent: {status, body <> piece}}}
    end
    """)

    on_exit(fn -> :code.delete(Plug.Conn) && :code.purge(Plug.Conn) end)
  end

  setup %{tmp_dir: dir} do
    columns = [columns: [id: :int8, title: :text], primary_key: [:id]]

    collector =
      start_supervised!(
        {ShapeLogCollector,
         tables: [{"todos", columns}], storage_dir: dir, chunk_bytes_threshold: 100_000}
      )

    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", nil}, keys: [])

    for lsn <- 1..4 do
      changes =
        for id <- 1..100,
            do: %NewRecord{
              relation: {"public", "todos"},
              record: %{"id" => "#{lsn * 1000 + id}", "title" => String.duplicate("x", 1000)}
            }

      :ok =
        ShapeLogCollector.handle_transaction(collector, %Transaction{lsn: lsn, changes: changes})
    end

    {:ok, %{log: log, handle: handle}} = ShapeLogCollector.shape(collector, 1)
    {:ok, _} = SealedChunk.seal(log)
    %{collector: collector, handle: handle}
  end

  defp call(collector, query, fields \\ []) do
    opts = ShapeRouter.Plug.init(collector: collector, live_timeout: 50)
    conn = struct(Plug.Conn, [request_path: "/v1/shape", query_string: query] ++ fields)
    ShapeRouter.Plug.call(conn, opts)
  end

  test "a sealed chunk goes by send_file, with its headers", %{collector: collector} do
    conn = call(collector, "table=todos&offset=-1")
    assert {200, {:file, <<"[{", _::binary>> = body}} = conn.sent
    assert {_, "1_" <> _} = List.keyfind(conn.resp_headers, "electric-offset", 0)
    {_, tag} = List.keyfind(conn.resp_headers, "etag", 0)

    assert %{sent: {304, ""}} =
             call(collector, "table=todos&offset=-1", req_headers: [{"if-none-match", tag}])

    assert %{sent: {206, {:file, part}}} =
             call(collector, "table=todos&offset=-1", req_headers: [{"range", "bytes=2-9"}])

    assert part == binary_part(body, 2, 8)
    assert Process.get(:"$shape_router_leases") == nil
  end

  test "the cache, streams and errors", %{collector: collector, handle: handle} do
    assert %{sent: {200, "[]"}} = call(collector, "table=todos&offset=4_198&handle=#{handle}")

    assert %{sent: {200, "[]"}} =
             call(collector, "table=todos&offset=4_198&handle=#{handle}&live=true")

    assert %{sent: {200, "[{" <> _}} = call(collector, "table=todos&offset=1_0&handle=#{handle}")
    assert %{sent: {400, error}} = call(collector, "offset=-1")
    assert error =~ "table"
    assert %{sent: {409, _}} = call(collector, "table=todos&offset=1_0&handle=other")
    assert %{sent: {404, _}} = call(collector, "table=todos&offset=-1", request_path: "/other")
    assert_raise ArgumentError, fn -> ShapeRouter.Plug.init([]) end

    assert_raise ArgumentError, fn ->
      ShapeRouter.Plug.init(collector: 1, color: 2)
    end
  end
end
