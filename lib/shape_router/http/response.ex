defmodule ShapeRouter.Http.Response do
  @moduledoc false
  # What goes back over HTTP: made from an answer of `ShapeRouter.ShapeLog.read/3` and what the request
  # asks of its form (RFC 9110: conditions, ranges, HEAD). Knows no sockets.

  alias ShapeRouter.Error
  alias ShapeRouter.Http.{Json, Request}

  @enforce_keys [:status]
  defstruct [:status, headers: [], body: :empty]

  @type body ::
          :empty
          | {:binary, iodata()}
          | {:file, Path.t(), non_neg_integer(), non_neg_integer()}
          | {:stream, Enumerable.t()}
  @type t :: %__MODULE__{status: pos_integer(), headers: [{String.t(), String.t()}], body: body()}

  @doc "An answer of `ShapeRouter.ShapeLog.read/3`, in the form that the request asks for."
  @spec from_answer(tuple(), Request.t(), [{String.t(), String.t()}]) :: t()
  def from_answer(answer, request, more_headers \\ []) do
    {body, headers} = body(answer)
    headers = more_headers ++ headers

    if unchanged?(request, headers) do
      # What a 200 would have said of the body does not belong here.
      %__MODULE__{status: 304, headers: without(headers, ["content-type", "content-encoding"])}
    else
      %__MODULE__{status: 200, headers: headers, body: body}
      |> accept_ranges()
      |> cut(request)
      |> measure()
      |> without_body(request)
    end
  end

  @doc "An error, as a JSON object that says why."
  @spec error(pos_integer(), Error.t(), [{String.t(), String.t()}]) :: t()
  def error(status, %Error{} = error, headers \\ []) do
    json = Json.object(error: Atom.to_string(error.code), message: error.message)
    json(status, json, [{"cache-control", "no-store"} | headers])
  end

  @doc "A body of JSON."
  @spec json(pos_integer(), iodata(), [{String.t(), String.t()}]) :: t()
  def json(status, json, headers) do
    measure(%__MODULE__{
      status: status,
      headers: [{"content-type", "application/json; charset=utf-8"} | headers],
      body: {:binary, json}
    })
  end

  @doc "The same answer to HEAD: the headers, and no body."
  @spec without_body(t(), Request.t()) :: t()
  def without_body(response, %{method: "HEAD"}), do: %{response | body: :empty}
  def without_body(response, _request), do: response

  @doc "The value of a header, if it is there."
  @spec header(t(), String.t()) :: String.t() | nil
  def header(%__MODULE__{headers: headers}, name), do: value(headers, name)

  defp body({:sendfile, path, position, length, headers}),
    do: {{:file, path, position, length}, headers}

  defp body({:cached, binary, headers}), do: {{:binary, binary}, headers}
  defp body({:stream, enumerable, headers}), do: {{:stream, enumerable}, headers}

  # If-None-Match compares weakly: a gateway may have weakened the tag.
  defp unchanged?(request, headers) do
    with asked when is_binary(asked) <- Request.header(request, "if-none-match"),
         tag when is_binary(tag) <- value(headers, "etag") do
      asked = asked |> String.split(",") |> Enum.map(&String.trim/1)
      "*" in asked or Enum.any?(asked, &(strong(&1) == strong(tag)))
    else
      nil -> false
    end
  end

  defp strong("W/" <> tag), do: tag
  defp strong(tag), do: tag

  defp accept_ranges(%{body: {:stream, _}} = response), do: response

  defp accept_ranges(response),
    do: %{response | headers: [{"accept-ranges", "bytes"} | response.headers]}

  # One range is cut out; several are answered with all of it, as RFC 9110 allows. What is no range at
  # all is as if it were not there.
  defp cut(%{body: {:stream, _}} = response, _request), do: response

  defp cut(response, %{method: "GET"} = request) do
    with "bytes=" <> ranges <- Request.header(request, "range"),
         true <- still_the_same?(request, response.headers),
         {:ok, range} <- parse(ranges) do
      cut_range(response, range, size(response.body))
    else
      _ -> response
    end
  end

  defp cut(response, _request), do: response

  # If-Range compares strongly.
  defp still_the_same?(request, headers) do
    case Request.header(request, "if-range") do
      nil -> true
      "W/" <> _ -> false
      tag -> tag == value(headers, "etag")
    end
  end

  defp parse(ranges) do
    with [first, last] <- ranges |> String.trim() |> String.split("-"),
         {:ok, first} <- number(first),
         {:ok, last} <- number(last),
         true <- first != nil or last != nil,
         true <- first == nil or last == nil or first <= last do
      {:ok, {first, last}}
    else
      _ -> :error
    end
  end

  defp number(""), do: {:ok, nil}

  defp number(digits) do
    if byte_size(digits) <= 18 and digits =~ ~r/\A[0-9]+\z/,
      do: {:ok, String.to_integer(digits)},
      else: :error
  end

  defp cut_range(response, {nil, suffix}, size) when suffix > 0 and size > 0,
    do: partial(response, max(size - suffix, 0), size - 1, size)

  defp cut_range(response, {first, last}, size) when is_integer(first) and first < size,
    do: partial(response, first, min(last || size - 1, size - 1), size)

  defp cut_range(response, _range, size) do
    message = "the range begins behind the end: there are #{size} bytes"
    headers = response.headers |> Enum.filter(&(elem(&1, 0) == "etag"))
    error = %Error{code: :range_not_satisfiable, message: message}
    error(416, error, [{"content-range", "bytes */#{size}"} | headers])
  end

  defp partial(response, first, last, size) do
    length = last - first + 1

    body =
      case response.body do
        {:file, path, position, _length} -> {:file, path, position + first, length}
        {:binary, data} -> {:binary, data |> IO.iodata_to_binary() |> binary_part(first, length)}
      end

    headers = [{"content-range", "bytes #{first}-#{last}/#{size}"} | response.headers]
    %{response | status: 206, headers: headers, body: body}
  end

  # A stream's length is not known before it ends.
  defp measure(%{body: {:stream, _}} = response), do: response

  defp measure(response) do
    headers = without(response.headers, ["content-length"])
    %{response | headers: headers ++ [{"content-length", "#{size(response.body)}"}]}
  end

  defp size({:binary, data}), do: IO.iodata_length(data)
  defp size({:file, _path, _position, length}), do: length

  defp value(headers, name) do
    case List.keyfind(headers, name, 0) do
      {_, value} -> value
      nil -> nil
    end
  end

  defp without(headers, names), do: Enum.reject(headers, fn {name, _} -> name in names end)
end
