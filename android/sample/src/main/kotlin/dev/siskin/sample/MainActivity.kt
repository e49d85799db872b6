package dev.siskin.sample

import android.app.Application
import android.os.Bundle
import androidx.activity.ComponentActivity
import androidx.activity.compose.setContent
import androidx.activity.viewModels
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.imePadding
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.safeDrawingPadding
import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.items
import androidx.compose.material3.Button
import androidx.compose.material3.Card
import androidx.compose.material3.LinearProgressIndicator
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.OutlinedTextField
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.dp
import androidx.lifecycle.AndroidViewModel
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import androidx.lifecycle.viewModelScope
import dev.siskin.Model
import dev.siskin.follow
import dev.siskin.loadAsset

/** Survives rotation; its scope ends with the screen, and with it whatever is being answered. */
class ChatViewModel(application: Application) : AndroidViewModel(application) {
    private var following: AutoCloseable? = null

    val chat = Chat(viewModelScope) {
        Model.loadAsset(application.assets.openFd("model.gguf")).also { following = it.follow(application) }
    }

    override fun onCleared() {
        following?.close()
        chat.close()
    }
}

class MainActivity : ComponentActivity() {
    private val model: ChatViewModel by viewModels()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContent { MaterialTheme { ChatScreen(model.chat) } }
    }
}

@Composable
fun ChatScreen(chat: Chat) {
    val state by chat.state.collectAsStateWithLifecycle()
    var draft by rememberSaveable { mutableStateOf("") }
    Column(Modifier.fillMaxSize().safeDrawingPadding().imePadding().padding(12.dp)) {
        LazyColumn(Modifier.weight(1f).fillMaxWidth()) {
            items(state.messages) { Bubble(it.role, it.content) }
            state.answer?.let { item { Bubble("assistant", it) } }
        }
        state.progress?.let { LinearProgressIndicator(progress = { it }, modifier = Modifier.fillMaxWidth()) }
        state.problem?.let { Text(it, color = MaterialTheme.colorScheme.error) }
        Row {
            OutlinedTextField(draft, { draft = it }, Modifier.weight(1f).padding(end = 8.dp), enabled = state.ready)
            if (state.answer != null) {
                Button(onClick = chat::stop) { Text("Stop") }
            } else {
                Button(onClick = { chat.send(draft); draft = "" }, enabled = state.ready && draft.isNotBlank()) { Text("Send") }
            }
        }
    }
}

@Composable
private fun Bubble(role: String, text: String) {
    Card(Modifier.fillMaxWidth().padding(vertical = 4.dp)) {
        Text(role, Modifier.padding(8.dp, 4.dp), style = MaterialTheme.typography.labelSmall)
        Text(text, Modifier.padding(8.dp, 0.dp, 8.dp, 8.dp))
    }
}
