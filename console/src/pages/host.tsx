export default function Host() {
  return <div class="page" />;
}
