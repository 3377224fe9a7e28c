defmodule ShapeRouter.Columns do
  @moduledoc false
  # A table's columns as users write them -> names and types, as the NIF reads them.

  alias ShapeRouter.Error

  # A type's name, or what has none.
  @type native_type ::
          String.t()
          | {:array, native_type()}
          | {:enum, [String.t()]}
          | {:collate, native_type(), String.t()}

  # PostgreSQL keeps no more of a label (NAMEDATALEN, less its end mark).
  @longest_label 63

  @spec normalize(ShapeRouter.columns() | nil) ::
          {:ok, [{String.t(), native_type()}] | nil} | {:error, Error.t()}
  def normalize(nil), do: {:ok, nil}

  def normalize(columns) when is_list(columns) do
    Enum.reduce_while(columns, {:ok, []}, fn column, {:ok, done} ->
      with {:ok, name, type} <- pair(column),
           {:ok, type} <- type(type) do
        {:cont, {:ok, [{name, type} | done]}}
      else
        :error ->
          {:halt, Error.argument("not a column of the form {name, type}: #{inspect(column)}")}

        {:error, error} ->
          message = "column #{inspect(elem(column, 0))}: #{error.message}"
          {:halt, {:error, %{error | message: message}}}
      end
    end)
    |> case do
      {:ok, reversed} -> {:ok, Enum.reverse(reversed)}
      error -> error
    end
  end

  def normalize(other), do: Error.argument("columns is not a list: #{inspect(other)}")

  @spec names(term()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def names(names) when is_list(names) do
    case Enum.find(names, &(name(&1) == :error)) do
      nil -> {:ok, Enum.map(names, &to_string/1)}
      bad -> Error.argument("not the name of a column: #{inspect(bad)}")
    end
  end

  def names(other), do: Error.argument("not a list of column names: #{inspect(other)}")

  defp pair({name, type}) do
    case name(name) do
      :error -> :error
      name -> {:ok, name, type}
    end
  end

  defp pair(_other), do: :error

  defp name(name) when is_binary(name), do: name
  defp name(name) when is_atom(name) and name not in [nil, true, false], do: Atom.to_string(name)
  defp name(_other), do: :error

  defp type(type) when is_binary(type), do: {:ok, type}

  defp type(type) when is_atom(type) and type not in [nil, true, false],
    do: {:ok, Atom.to_string(type)}

  defp type({:numeric, precision, scale}) when is_integer(precision) and is_integer(scale),
    do: {:ok, "numeric(#{precision},#{scale})"}

  defp type({:varchar, length}) when is_integer(length), do: {:ok, "varchar(#{length})"}
  defp type({:bpchar, length}) when is_integer(length), do: {:ok, "character(#{length})"}

  defp type({:array, element}) do
    with {:ok, element} <- type(element), do: {:ok, {:array, element}}
  end

  defp type({:collate, type, name}) when is_binary(name) do
    with {:ok, type} <- type(type), do: {:ok, {:collate, type, name}}
  end

  defp type({:enum, labels}) when is_list(labels) do
    with {:ok, labels} <- labels(labels, []) do
      case labels -- Enum.uniq(labels) do
        [] -> {:ok, {:enum, labels}}
        [label | _] -> Error.argument("the enum's label #{inspect(label)} is there twice")
      end
    end
  end

  defp type(other), do: Error.argument("not a column type: #{inspect(other)}")

  defp labels([], done), do: {:ok, Enum.reverse(done)}

  defp labels([label | rest], done) when is_atom(label) and label != nil,
    do: labels([Atom.to_string(label) | rest], done)

  defp labels([label | rest], done)
       when is_binary(label) and byte_size(label) <= @longest_label do
    if String.valid?(label),
      do: labels(rest, [label | done]),
      else: Error.argument("an enum's label that is no UTF-8: #{inspect(label)}")
  end

  defp labels([label | _rest], _done),
    do:
      Error.argument("not an enum's label of at most #{@longest_label} bytes: #{inspect(label)}")

  defp labels(_improper, _done), do: Error.argument("an enum's labels are not a list")
end
